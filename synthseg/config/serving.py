"""Settings of the HTTP endpoint and of its deployments. Nothing here may change what an engine makes for a request."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from synthseg.config.section import Section


class DeploymentConfig(Section):
    """How many replicas of one deployment there are, what each takes, and how much work each accepts."""

    num_replicas: int = Field(default=1, gt=0)
    """Replicas at start; the fixed number unless max_replicas switches autoscaling on."""
    min_replicas: int = Field(default=1, ge=0)
    """Fewest replicas under autoscaling. 0 lets the deployment go away when idle; its next request waits for a cold start."""
    max_replicas: int = Field(default=0, ge=0)
    """Most replicas under autoscaling; 0 keeps num_replicas."""
    target_ongoing_requests: float = Field(default=8.0, gt=0)
    """Requests a replica should have in hand; autoscaling adds replicas above it and takes some away below it."""
    num_cpus: float = Field(default=0.25, ge=0)
    num_gpus: float = Field(default=0.0, ge=0)
    """0 gives an image replica of diffusers `execution.num_gpus_per_replica` and, where that is not 0, the prompt agent
    `execution.num_gpus_per_worker`. vLLM's GPUs are in `execution.vllm`."""
    max_ongoing_requests: int = Field(default=128, gt=0)
    """Requests one replica holds at once, those waiting for its engine included. A key may have as many waiting as it leaves free."""
    max_queued_requests: int = Field(default=128, gt=0)
    """Requests that may wait for a replica beyond that; the next one is refused with 429. Those of a key wait here only while replicas are
    missing, as Serve's queue knows no keys."""
    max_batch_size: int = Field(default=8, gt=0)
    """Most requests in one call of the engine."""
    max_batch_pixels: int = Field(default=0, ge=0)
    """Most pixels in one call of an image engine; 0 leaves it to max_batch_size. A larger single image is a batch of its own."""


class GatewayConfig(DeploymentConfig):
    """The HTTP ingress: it computes little and holds every open connection."""

    max_ongoing_requests: int = Field(default=512, gt=0)
    max_queued_requests: int = Field(default=512, gt=0)
    max_batch_size: int = Field(default=1, gt=0)


class PromptAgentConfig(DeploymentConfig):
    """The Self-Refine Prompt Agent: few requests, each of many calls of the text engine."""

    max_ongoing_requests: int = Field(default=16, gt=0)
    max_queued_requests: int = Field(default=32, gt=0)
    max_batch_size: int = Field(default=1, gt=0)


class ServingConfig(Section):
    """The HTTP endpoint (`synthseg serve`)."""

    host: str = "127.0.0.1"
    """Address to listen on; anything but loopback needs API keys."""
    port: int = Field(default=8000, ge=0, le=65535)
    public_url: str = ""
    """Start of the URLs in answers, such as https://images.example.org; empty takes the request's own host."""
    state_dir: str = "~/.synthseg/serving"
    """Folder of what gateway replicas share: keys, limits, idempotent answers, files, ownership of jobs."""
    state_journal: Literal["wal", "delete"] = "wal"
    """SQLite journal of the shared state. `wal` needs every gateway on one machine; `delete` also works in a folder that several
    machines mount, if its file locks work."""
    keys_file: str = ""
    """API keys, hashed; empty means keys.json in state_dir."""
    cors_origins: tuple[str, ...] = ()
    """Web origins, such as https://app.example.org, whose pages may call the API; none by default."""
    logs: Literal["files", "stderr"] = "files"
    """Where the JSON log lines go: files under state_dir/logs, or standard error."""
    log_prompts: bool = False
    """Also log the text of prompts."""

    image_model_aliases: tuple[str, ...] = ("dall-e-*", "gpt-image-*", "chatgpt-image-*")
    """Further names of the first image model, `*` standing for anything: those that clients of OpenAI's API send by themselves. They are
    answered and not listed."""
    text_model_aliases: tuple[str, ...] = ()
    """Further names of the first text model, such as "gpt-*"."""

    max_connections: int = Field(default=16_384, gt=0)
    """Connections of clients at once, as far as the system's limit of open files (`ulimit -Hn`, two and a half for each) allows; the next
    ones wait."""
    max_source_connections: int = Field(default=1024, ge=0)
    """Connections of one address at once; the next one is closed. 0 sets no limit. Loopback (127.0.0.1 and ::1) has none, so a reverse
    proxy on this machine has none; one on another machine is one address for all its clients, and wants 0 here and for max_source_rate."""
    max_source_rate: int = Field(default=4096, ge=0)
    """New connections of one address in ten seconds; the next one is closed. 0 sets no limit, and loopback has none."""
    request_timeout_s: float = Field(default=10.0, gt=0)
    """A client that takes longer to send the head of a request, or a small body, gets 408 and is cut off."""

    deadline_s: float = Field(default=120.0, gt=0)
    """A request that is not answered after this long gets 504 and its work is given up."""
    give_up_s: float = Field(default=30.0, gt=0)
    """A language model that is silent for this long over a text which nobody waits for any more is not ready; its replica is replaced."""
    max_body_bytes: int = Field(default=1 << 20, gt=0)
    max_prompt_chars: int = Field(default=4000, gt=0)
    min_side_px: int = Field(default=32, gt=0)
    max_side_px: int = Field(default=1024, gt=0)
    max_pixels: int = Field(default=1 << 20, gt=0)
    """Most pixels of one image."""
    sizes: tuple[str, ...] = ()
    """The only sizes accepted, such as ["512x512", "768x512"]; none means every size within the limits above."""
    files_ttl_s: float = Field(default=3600.0, gt=0)
    """How long results of response_format = url and idempotent answers are kept."""
    files_max_bytes: int = Field(default=1 << 30, gt=0)
    """Disk space for such files, and as much again for such answers. When it is used up, the key that holds most loses its oldest."""

    requests_per_min: int = Field(default=6000, ge=0)
    """Requests a minute for each key that has no limit of its own; 0 sets none."""
    image_seconds_per_min: float = Field(default=600.0, ge=0)
    """Engine seconds for images a minute for each key that has no limit of its own; 0 sets none."""
    max_open_requests: int = Field(default=200, ge=0)
    """Requests and streams of one key that one gateway has open at once; the next one is refused with 429. 0 sets no limit. Well below
    gateway.max_ongoing_requests, or one key can keep everybody out."""

    jobs: bool = True
    """Offer /v1/jobs."""
    jobs_dir: str = ""
    """Folder or URI under which jobs put their runs; empty means jobs in state_dir."""
    max_running_jobs: int = Field(default=1, gt=0)
    """Runs going at once; the others wait their turn, the key that was served longest ago first."""
    max_queued_jobs: int = Field(default=16, gt=0)
    """Runs of one key that may wait; the next one is refused with 429."""
    max_job_s: float = Field(default=604_800.0, gt=0)
    """Longest time that a run may be going. One that takes longer is stopped and fails with the reason wall_time_exceeded."""
    max_job_bytes: int = Field(default=1 << 38, gt=0)
    """Most disk space of a run's folder. One that grows larger is stopped and fails with the reason disk_exceeded."""
    max_job_images: int = Field(default=200_000, gt=0)
    """Most images that a client may plan for one run."""
    job_limits: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Largest values that a client may set, by section, such as {images = {width = 4096}}, in place of those in serving/jobs/limits.py."""

    gateway: GatewayConfig = GatewayConfig()
    prompt_agent: PromptAgentConfig = PromptAgentConfig()
    text: DeploymentConfig = DeploymentConfig()
    image: DeploymentConfig = DeploymentConfig()
