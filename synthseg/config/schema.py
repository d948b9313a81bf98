"""What a run is, as frozen models. Every number the paper leaves open is a field here, with its unit in the name.

`execution` and `serving` say how work is carried out (workers, batches, time limits, the HTTP endpoint); they never change a
sample, so they stay out of the fingerprint. So does `precision`, which follows the hardware: a run goes on on another machine.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from synthseg.config.section import Section
from synthseg.config.serving import ServingConfig
from synthseg.config.text import EndpointConfig, VllmConfig
from synthseg.ids import digest
from synthseg.machine.precision import Setting
from synthseg.taxonomy import ClassInfo, TaxonomyName, taxonomy


class PromptsConfig(Section):
    """The Self-Refine Prompt Agent (paper, Algorithm 1)."""

    engine: Literal["llama", "template", "openai", "vllm"]
    model: str = ""
    """Hub id or path of the weights, or what an endpoint calls its model; empty means the engine's own default."""
    revision: str = ""
    """Commit of a hub id, so that the same weights come back; empty takes what lies on this machine."""
    dtype: Literal["", "bfloat16", "float16", "float32"] = ""
    """Of vLLM's weights and activations; empty is what the checkpoint says."""
    lora: str = ""
    """Hub id or folder of a LoRA adapter for vLLM; empty means none."""
    base_url: str = ""
    """Address of engine `openai`, such as https://api.example.org/v1. Its key comes from the environment only."""
    prompts_per_class: int = Field(gt=0)
    """Quota: a class ends when this many target prompts are accepted."""
    context_prompts_per_class: int = Field(default=2, ge=0)
    """Accepted prompts of the class's usual surroundings without it."""
    max_rounds: int = Field(default=5, gt=0)
    requests_per_round: int = Field(default=4, gt=0)
    candidates_per_request: int = Field(default=4, gt=0)
    diversity_threshold: float = Field(default=0.92, gt=0, le=1)
    """Delta: accepted only while the cosine to the nearest accepted prompt is below it."""
    diversity_pass_rate: float = Field(default=0.0, ge=0, lt=1)
    """Above 0, delta is measured per class instead: the cosine at which this share of fresh draws of T(c) passes until the quota is met."""
    calibration_draws: int = Field(default=64, ge=2)
    """Draws of T(c), at least, on which the usual class similarity and delta are measured."""
    bare_share: float = Field(default=0.2, ge=0, le=1)
    """Share of the target requests that ask for the class without its usual context; they count towards the quota."""
    rating_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of the LLM's own marks in the quality; the rest is class similarity relative to draws of T(c)."""
    max_words: int = Field(default=30, ge=10)
    """A longer candidate is refused."""
    min_quality: float = Field(default=0.5, ge=0, le=1)
    min_class_similarity: float = Field(default=0.0, ge=-1, le=1)
    min_acceptance_rate: float = Field(default=0.1, ge=0, le=1)
    """A class also ends when a round accepts a smaller share than this."""
    temperature: float = Field(default=0.9, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_tokens: int = Field(default=256, gt=0)

    @model_serializer(mode="wrap")
    def _without_unread(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting that the engine does not read is no part of a run's identity."""
        data: dict[str, Any] = serialize(self)
        return (
            data
            if self.engine in ("vllm", "openai")
            else {name: value for name, value in data.items() if value or name not in _REMOTE_ONLY}
        )


_REMOTE_ONLY: Final = ("revision", "dtype", "lora", "base_url")
"""Settings of `prompts` that the embedded engines leave empty; a GGUF of the hub may have a revision."""


class ImagesConfig(Section):
    """The diffusion replicas. Settings from `revision` on are read by `diffusers` only and are left out where the painter is chosen."""

    engine: Literal["painter", "diffusers"]
    model: str = ""
    """Hub id or folder of a diffusers text-to-image pipeline, or a single checkpoint file of one; the painter has none."""
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    images_per_prompt: int = Field(default=4, gt=0)
    negative_prompt: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Engine settings, for example steps and guidance_scale."""
    revision: str = ""
    """Commit, tag or branch of a hub id; empty takes the one that was fetched."""
    config: str = ""
    """Hub id or folder of a diffusers pipeline whose configs and tokenizers fit `model`, where that is a single checkpoint file."""
    variant: str = ""
    """Weight files of this name, for example fp16, where the model has them."""
    dtype: Literal["bf16", "fp16", "fp32", "auto"] = "bf16"
    """Of the networks; it decides the pixels. `auto` is bf16 where the hardware has it, else fp32, and a run goes on only where it comes to
    the same. Some fp16 models overflow; an image with pixels that are no numbers is a failure, never a black one."""
    exact: bool = True
    """One image a call of the pipeline, so that its bytes never depend on its batch. False gives whole batches to the pipeline: faster for
    small models and images, and pixels may differ by what the run's `invariance` measures."""
    attention: str = ""
    """Attention backend of diffusers for the transformer, such as native, _native_cudnn or flash; empty is its default."""
    compile: bool = False
    """torch.compile of the denoiser (its repeated blocks where it names them), warmed up before the replica is ready."""
    vae_slicing: bool = True
    """Decode a batch image by image."""
    vae_tiling: bool = False
    """Decode large images tile by tile: less memory, faint seams."""
    offload: bool = False
    """Keep only the network at work on the GPU, the others in main memory."""
    lora: str = ""
    """Hub id, folder or .safetensors file of a LoRA, merged into the weights at `lora_scale`."""
    lora_file: str = ""
    """File of `lora` when it is a folder with several."""
    lora_scale: float = 1.0
    scheduler: str = ""
    """Class name of a diffusers scheduler, set up from the model's own scheduler settings; empty keeps the model's own."""
    safety_checker: str = "auto"
    """`auto` is the pipeline's own, if it has one; `off`; or hub id or folder of a Stable Diffusion safety checker for any pipeline.
    Without one the verdict is `unchecked`."""
    trust_remote_code: str = ""
    """The value of `model` once more, if code that comes with it may run."""

    @model_serializer(mode="wrap")
    def _without_unread(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A setting that the engine does not read is no part of a run's identity."""
        data: dict[str, Any] = serialize(self)
        if not self.config:  # runs of before there was such a setting are the same runs
            data.pop("config", None)
        return data if self.engine == "diffusers" else {name: value for name, value in data.items() if name not in DIFFUSERS_ONLY}


DIFFUSERS_ONLY: Final = tuple(ImagesConfig.model_fields)[tuple(ImagesConfig.model_fields).index("revision") :]
"""Settings of `images` that only the engine `diffusers` reads."""


class ScoringConfig(Section):
    """The frozen CLIP: selection and pseudo-labels (paper, Fig. 3)."""

    model: str
    """open_clip model name; `embedded` is the one in the package."""
    weights: str = ""
    """A file, or one of open_clip's tags for the model's name."""
    precision: Setting = "auto"
    """Of matrix products over images: auto is bf16 where the hardware has units for it, else fp32. Texts, on whose cosines prompts are
    accepted, are always fp32."""
    keep_per_prompt: int = Field(default=2, gt=0)
    min_class_score: float = Field(default=0.0)
    """Class-relative threshold: z-score of an asked class among all classes of the same image, in logits; needs no other image."""
    present_threshold: float = Field(default=0.5, ge=0, le=1)
    absent_threshold: float = Field(default=0.2, ge=0, le=1)
    refute_threshold: float = Field(default=0.05, ge=0, le=1)
    """An asked class below this is refuted."""


class ClassifierConfig(Section):
    """The ViT classifier with patch classes (paper, Fig. 4)."""

    model: str
    weights: str = ""
    image_size: int = Field(gt=0)
    folds: int = Field(default=2, ge=2)
    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    pooling: Literal["top_k", "adaptive_k"] = "top_k"
    top_k: int = Field(default=6, gt=0)
    """Patches a class is pooled over."""
    adaptive_ratio: float = Field(default=0.5, gt=0, le=1)
    """With adaptive_k a class is pooled over all patches that reach this share of its best one."""
    freeze_stem: bool = False
    """Leave what makes patches of pixels as it was pre-trained, and train what is behind it (MoCo v3, arXiv 2104.02057)."""
    opinion_scale: float = Field(default=1.0, gt=0)
    """The trained model judges images at this multiple of `image_size`: above 1 a small object covers more patches."""
    precision: Setting = "auto"
    """Of matrix products, as in scoring; weights, losses and optimizer state stay fp32."""
    contrast_weight: float = Field(default=0.01, ge=0)
    contrast_confidence: float = Field(default=0.85, gt=0.5, lt=1)


class RelabelConfig(Section):
    """How the classifier's opinion becomes labels."""

    present_threshold: float = Field(default=0.7, ge=0, le=1)
    absent_threshold: float = Field(default=0.3, ge=0, le=1)
    clip_weight: float = Field(default=0.0, ge=0, lt=1)
    """Share of CLIP's log odds in the opinion on classes nobody asked for; the rest is the classifier's. Needs a sigmoid CLIP."""
    drop_threshold: float = Field(default=0.05, ge=0, le=1)
    """A prompted class falls only below this, and only when CLIP refutes it too."""


class SegmenterConfig(Section):
    """Frozen encoders and a light decoder (research: WeCLIP, ExCEL, CD-CLIP)."""

    mode: Literal["clip_only", "clip_dino"]
    clip_model: str
    clip_weights: str = ""
    dino_model: str = ""
    dino_weights: str = ""
    normalization: Literal["clip", "imagenet"] = "clip"
    """Pixel statistics of the CLIP encoder: the model's own, or ImageNet's (WeCLIP, ExCEL)."""
    precision: Setting = "auto"
    """Of matrix products, as in scoring; weights, losses and optimizer state stay fp32."""
    text_templates: tuple[str, ...] = ("a clean origami {}.",)
    """Each holds one {} for the class words; embeddings are averaged."""
    crop_size: int = Field(gt=0)
    iterations: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_iterations: int = Field(default=50, ge=0)
    decoder_width: int = Field(default=256, gt=0)
    decoder_blocks: int = Field(default=3, gt=0)
    num_attributes: int = Field(default=112, ge=0)
    seed_blocks: int = Field(default=5, ge=0)
    """Blocks of the second, MLP-free path; 0 takes the last tokens as they are (towers trained with average pooling)."""
    seed_scales: tuple[float, ...] = (1.0,)
    """Image scales whose seeds are averaged."""
    seed_flip: bool = False
    affinity_blocks: int = Field(default=8, gt=0)
    affinity: Literal["none", "caa", "cda"] = "cda"
    affinity_power: int = Field(default=2, ge=0)
    cda_temperature: float = Field(default=0.01, gt=0)
    """tau of the class-distribution affinity."""
    background_power: float = Field(default=1.0, gt=0)
    """Background score (1 - max_c cam)^power: higher leaves more to the classes."""
    seed_box_threshold: float = Field(default=0.79, gt=0, le=1)
    par_iterations: int = Field(default=20, ge=0)
    par_stride: int = Field(default=1, gt=0)
    """Refinement works at 1 / stride of the image size."""
    test_par: bool = False
    """Also refine the trained network's probabilities at test time."""
    tag_threshold: float = Field(default=0.5, ge=0, le=1)
    """Class probability from which the training-free control takes a class as present."""
    ignore_band: float = Field(default=0.1, ge=0)
    affinity_loss_weight: float = Field(default=0.1, ge=0)
    affinity_radius: int = Field(default=8, gt=0)
    consistency_loss_weight: float = Field(default=0.1, ge=0)
    self_training_start: float = Field(default=0.6, ge=0, le=1)
    self_training_confidence: float = Field(default=0.75, gt=0, le=1)
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    mosaic_probability: float = Field(default=0.3, ge=0, le=1)


class EvaluationConfig(Section):
    """Where and how the trained network is measured."""

    dataset: str
    """`field` (the embedded held-out split), `voc:PATH`, `coco:PATH` or `folder:PATH`; docs/datasets.md says what each must hold."""
    num_images: int = Field(default=0, ge=0)
    """0 takes the whole split."""
    scales: tuple[float, ...] = (1.0,)
    flip: bool = True


class ExecutionConfig(Section):
    """How a run is carried out. Nothing here may change a sample."""

    workers: int = Field(default=2, gt=0)
    """Replicas of each engine, workers of each stage, training processes."""
    shard_size: int = Field(default=64, gt=0, le=4096)
    image_batch_size: int = Field(default=8, gt=0)
    max_in_flight: int = Field(default=32, gt=0)
    """Requests one stage worker keeps open at the engine replicas."""
    stall_timeout_s: float = Field(default=300.0, gt=0)
    """No sample, training step or start of the replicas for this long ends the run, with the stacks of its processes; so does a Ray of
    one's own that has not started by then."""
    num_gpus_per_replica: float = Field(default=0.0, ge=0)
    """GPUs of an image replica and of each device of a vLLM replica. Below 1 it leaves a stage worker room on the same GPU. Where it is not
    0, a worker of the stages without engines takes a whole GPU."""
    num_gpus_per_worker: float = Field(default=0.2, ge=0)
    """GPUs of a stage worker beside engine replicas, for its CLIP; none where `num_gpus_per_replica` is 0 and vLLM takes none."""
    cache_bytes: int = Field(default=1 << 35, gt=0)
    """Images and masks that trainings keep on each machine's disk, below SYNTHSEG_CACHE (default ~/.cache/synthseg). A training whose
    samples do not fit reads shards again and again."""
    address: str = ""
    """Ray cluster to join; empty starts one on this machine."""
    vllm: VllmConfig = VllmConfig()
    endpoint: EndpointConfig = EndpointConfig()


NOT_CONTENT: Final = ("execution", "serving")
"""Sections that never change a sample."""
PRECISION: Final = "precision"
"""The setting of each section with a network that is left to the hardware, and is no part of any identity."""
_WITH_NETWORKS: Final = ("scoring", "classifier", "segmenter")


class RunConfig(Section):
    """A whole run."""

    preset: str
    taxonomy: TaxonomyName
    classes: tuple[str, ...]
    """Canonical names in mask order; the loader fills in all of the taxonomy where a preset says none."""
    seed: int = Field(default=0, ge=0)
    prompts: PromptsConfig
    images: ImagesConfig
    scoring: ScoringConfig
    classifier: ClassifierConfig
    relabel: RelabelConfig
    segmenter: SegmenterConfig
    evaluation: EvaluationConfig
    execution: ExecutionConfig
    serving: ServingConfig = ServingConfig()

    def class_infos(self) -> tuple[ClassInfo, ...]:
        """The chosen classes. Vectors with a K axis follow this order; K = len(classes)."""
        return taxonomy(self.taxonomy).select(self.classes)

    def content(self) -> dict[str, Any]:
        """What the run is, as JSON: every section but NOT_CONTENT, and no precision."""
        left_out: dict[str, Any] = {**dict.fromkeys(NOT_CONTENT, True), **{section: {PRECISION} for section in _WITH_NETWORKS}}
        return self.model_dump(mode="json", exclude=left_out)

    def fingerprint(self) -> str:
        """Identity of the run's content."""
        return digest("run", self.content())

    def bf16_settings(self) -> dict[str, str]:
        """Every setting by which networks may be asked to compute in bf16, by its name."""
        images = {"images.dtype": self.images.dtype} if self.images.engine == "diffusers" else {}
        return {**self.precisions(), **images}

    def precisions(self) -> dict[str, Setting]:
        """The precision asked for, by the setting's name."""
        return {f"{section}.{PRECISION}": getattr(self, section).precision for section in _WITH_NETWORKS}

    def generation_fingerprint(self) -> str:
        """Identity of what decides prompts and images, so that a change of label or training settings keeps every image."""
        return digest("generation", self.model_dump(mode="json", include={"taxonomy", "classes", "seed", "prompts", "images"}))
