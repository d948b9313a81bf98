"""The embedded language model in a form that llama.cpp reads faster on a CPU.

The package holds blocks of type Q4_1, which llama.cpp multiplies one token at a time. Q8_0 has a kernel for many tokens at once, and
steps so fine that it holds what Q4_1 says to a 254th of a block's largest weight: a prompt is read in two thirds of the time.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synthseg.errors import UsageProblem
from synthseg.ids import digest
from synthseg.machine.cache import cache_folder, locked
from synthseg.machine.whole_file import whole

INSTALL = "pip install gguf"
_KIND = "models"
_FILE_TYPE = "general.file_type"


@contextmanager
def in_q8_0(path: Path, content: str) -> Iterator[Path]:
    """The model of the GGUF file `path`, whose digest is `content`, with Q8_0 in place of Q4_1; made once a machine, and anew where
    nothing can be kept. The file may be gone when the block ends.

    UsageProblem when the package gguf is missing.
    """
    try:
        version = importlib.metadata.version("gguf")
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageProblem(f"prompts.engine: 'llama' needs gguf for its embedded model; run: {INSTALL}") from error
    kept = cache_folder(_KIND) / f"{digest('q8_0', content, version, num_bytes=20)}.gguf"
    if not kept.is_file():
        with suppress(OSError), locked(kept):
            if not kept.is_file():
                with whole(kept) as temporary:
                    _convert(path, temporary)
    if kept.is_file():
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="synthseg-model-") as folder:
        made = Path(folder) / kept.name
        _convert(path, made)
        yield made


def _convert(path: Path, made: Path) -> None:
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
    from gguf.quants import dequantize, quantize

    reader = GGUFReader(path)
    fields = {name: field for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    writer = GGUFWriter(made, str(fields.pop("general.architecture").contents()))
    try:
        for name, field in fields.items():
            value = int(LlamaFileType.MOSTLY_Q8_0) if name == _FILE_TYPE else field.contents()
            sub_type = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, value, field.types[0], sub_type)
        for tensor in reader.tensors:
            if tensor.tensor_type == GGMLQuantizationType.Q4_1:
                values = dequantize(tensor.data, tensor.tensor_type)
                writer.add_tensor(tensor.name, quantize(values, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
            else:
                writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
