"""A plan as plain text: what `synthseg plan` prints and what docs/sizing.md shows."""

from __future__ import annotations

from synthseg.machine.sizing.estimate import Plan


def render(plan: Plan) -> str:
    """A table, and under it the source of every number, each once."""
    sources = _Sources()
    cost = plan.usd_per_gpu_hour
    counts = f"{plan.num_classes} classes, {plan.num_prompts:,} prompts, {plan.num_images:,} images, at most {plan.max_kept:,} kept"
    lines = [
        f"{plan.preset}: {counts}",
        f"on {plan.num_gpus} x {plan.gpu.name} at {cost:.2f} USD per GPU hour {sources.cite(plan.price_sources)}",
        *([f"needs {plan.at_once} of them at once ({plan.at_once_work})"] if plan.at_once else []),
        "",
        f"{'stage':<12}{'GPU hours':>10}{'cost, USD':>11}{'memory, GB':>12}  work",
    ]
    for stage in plan.stages:
        usd, memory = stage.gpu_hours * cost, f"{stage.memory_gb:.1f}" if stage.memory_gb else "-"
        line = f"{stage.name:<12}{stage.gpu_hours:>10.2f}{usd:>11.2f}{memory:>12}  {stage.work} {sources.cite(stage.sources)}"
        lines.append(line.rstrip())
    lines.append(f"{'all':<12}{plan.gpu_hours:>10.2f}{plan.usd:>11.2f}{plan.memory_gb:>12.1f}  {_wall(plan)}")
    storage = f"{plan.images_gb:.1f} GB of images, {plan.weights_gb:.1f} GB of weights on each node"
    lines += ["", f"storage: {storage} {sources.cite(plan.storage_sources)}"]
    if plan.memory_gb > plan.gpu.memory_gb:
        lines.append(f"warning: the peak of {plan.memory_gb:.1f} GB does not fit the {plan.gpu.memory_gb:.0f} GB of this GPU")
    if plan.at_once > plan.num_gpus:
        lines.append(f"warning: {plan.at_once} GPUs are needed at once; lower execution.workers, or plan with --gpus {plan.at_once}")
    return "\n".join([*lines, "", *sources.lines()])


def _wall(plan: Plan) -> str:
    hours = plan.gpu_hours / plan.num_gpus
    return f"{hours:.1f} h on {plan.num_gpus} GPU{'s' if plan.num_gpus > 1 else ''}, if the work spreads evenly"


class _Sources:
    """Numbers of the sources, in the order of their first citation."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def cite(self, sources: tuple[str, ...]) -> str:
        numbers = [self._numbers.setdefault(source, len(self._numbers) + 1) for source in sources]
        return f"[{','.join(map(str, numbers))}]" if numbers else ""

    def lines(self) -> list[str]:
        return [f"[{number}] {source}" for source, number in self._numbers.items()]
