// One run: its stages as they go, its images, what happened.

import { ApiProblem, apiKey, call, events, json } from "./api.js";
import { confirmed } from "./confirm.js";
import { ago, duration, icon, iconButton, make } from "./dom.js";
import { Gallery } from "./gallery.js";
import { notice } from "./problems.js";

const STAGES = [
  ["prompts", "Prompts"],
  ["images", "Images"],
  ["classifier", "Classifier"],
  ["relabel", "Relabelling"],
  ["masks", "Masks"],
  ["segmenter", "Segmenter"],
  ["evaluate", "Evaluation"],
];
const FINISHED = new Set(["succeeded", "failed", "cancelled"]);
const WORDS = { queued: "Queued", running: "Running", succeeded: "Finished", failed: "Failed", cancelled: "Stopped" };
const POLL_MS = 1500;
const RECONNECT_MS = 2000;

export class RunView {
  /** Watches the job `id` until `close`. `changed` runs when its status changes, `reopen` when the visitor wants another try. */
  constructor(id, changed, reopen) {
    this.id = id;
    this.path = `v1/jobs/${encodeURIComponent(id)}`;
    this.changed = changed;
    this.reopen = reopen;
    this.controller = new AbortController();
    this.stopping = false; // asked to stop, and not yet stopped: a run ends in its own time
    this.seen = 0; // events shown so far; a new connection starts from the first again
    this.stages = new Map(STAGES.map(([name]) => [name, { started: false, total: 0, seconds: null }]));
    this.gallery = new Gallery(id, this.controller.signal);
    this.head = make("header");
    this.message = make("div", { hidden: true });
    this.fault = make("div", { class: "fault" });
    this.rows = new Map(STAGES.map(([name, words]) => [name, stageRow(name, words)]));
    this.log = make("ol");
    this.node = make(
      "div",
      { class: "run", "data-job": id },
      this.head,
      this.message,
      this.fault,
      make("div", { class: "panel stages" }, ...this.rows.values()),
      this.gallery.node,
      make("details", { class: "log" }, make("summary", { text: "What happened" }), this.log),
    );
    this.poll();
    this.follow();
  }

  close() {
    this.controller.abort();
    this.gallery.close();
  }

  /** Ask for the job until it is finished. */
  async poll() {
    try {
      const job = await json(this.path, { signal: this.controller.signal });
      const changed = job.status !== this.job?.status;
      this.job = job;
      this.draw();
      if (changed && this.drawn) this.changed();
      this.drawn = true;
      if (FINISHED.has(job.status)) return this.gallery.reload();
      this.gallery.refresh();
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (!(problem instanceof ApiProblem)) throw problem;
      if (!this.job) return this.node.replaceChildren(notice(problem, this.reopen));
    }
    setTimeout(() => this.controller.signal.aborted || this.poll(), POLL_MS);
  }

  /** Read the run's events as they come, and again from the first when the connection breaks. */
  async follow() {
    while (!this.controller.signal.aborted) {
      let index = 0;
      try {
        for await (const { data } of events(`${this.path}/events`, { signal: this.controller.signal })) {
          if (index++ < this.seen) continue;
          this.seen = index;
          this.take(data);
          if (data.event === "job_finished") return;
        }
      } catch (problem) {
        if (problem.name === "AbortError" || problem.status === 401 || problem.status === 404) return;
        if (!(problem instanceof ApiProblem)) throw problem;
      }
      await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
    }
  }

  take(event) {
    const stage = this.stages.get(event.stage);
    if (stage && event.event === "stage_started") Object.assign(stage, { started: true, total: event.total ?? 0, seconds: null });
    if (stage && event.event === "stage_finished") stage.seconds = event.seconds;
    const details = Object.entries(event).filter(([name]) => !["time", "event"].includes(name));
    const words = [event.event?.replaceAll("_", " "), ...details.map(([name, value]) => (name === "stage" ? value : `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`))];
    const time = event.time ? new Date(event.time * 1000).toLocaleTimeString() : "";
    this.log.append(make("li", {}, make("time", { text: time }), make("span", { text: words.join(" · ") })));
    this.log.scrollTop = this.log.scrollHeight;
    if (this.job) this.draw();
  }

  draw() {
    const { job } = this;
    const over = FINISHED.has(job.status);
    this.drawHead(over);
    this.message.hidden = !job.message || job.status === "succeeded";
    if (!this.message.hidden) this.message.replaceChildren(make("div", { class: "notice" }, make("strong", { text: WORDS[job.status] }), make("p", { text: job.message })));
    for (const [name, row] of this.rows) drawStage(row, this.progress(name), over, job.status);
  }

  drawHead(over) {
    const { job } = this;
    const key = JSON.stringify([job.status, job.finished_at, ago(job.created_at), this.stopping]);
    if (this.head.dataset.key === key) return;
    this.head.dataset.key = key;
    const took = job.finished_at && make("span", {}, "took ", make("b", { text: duration(job.finished_at - job.created_at) }));
    const actions = make("div", { class: "actions" });
    if (!over) actions.append(iconButton("stop", this.stopping ? "Stopping" : "Stop run", () => this.stop(), { class: "quiet danger", disabled: this.stopping }));
    if (job.status === "succeeded") actions.append(this.reportButton());
    if (over) {
      actions.append(iconButton("close", "Forget", () => this.forget()));
      actions.append(iconButton("trash", "Delete files", () => this.purge(), { class: "quiet danger" }));
    }
    this.head.replaceChildren(
      make(
        "div",
        {},
        make("a", { class: "quiet back", href: "#runs" }, icon("back"), make("span", { text: "All runs" })),
        make("p", { class: "eyebrow", text: `Run · ${job.spec.preset ?? "embedded"}` }),
        make("h1", { text: title(job) }),
        make(
          "p",
          { class: "facts" },
          make("span", { class: "status" }, make("i", { class: "dot", "data-status": job.status }), WORDS[job.status] ?? job.status),
          make("span", {}, "started ", make("b", { text: ago(job.created_at) })),
          took,
          make("span", {}, "seed ", make("b", { text: String(job.spec.seed ?? 0) })),
          make("span", {}, make("code", { text: job.id })),
        ),
      ),
      actions,
    );
  }

  /** What is known of a stage: {done, total, unit} counts, and seconds once it has ended. */
  progress(name) {
    const known = this.stages.get(name);
    const rows = Object.fromEntries((this.job.progress?.stages ?? []).map((stage) => [stage.name, stage]));
    const seconds = rows[name]?.seconds ?? known.seconds;
    const shards = { prompts: "prompts", images: "images", relabel: "labels", masks: "masks" }[name];
    const done = shards ? (rows[shards]?.num_rows ?? 0) : 0;
    return { ...known, done, seconds: seconds ?? null, counted: ["images", "relabel", "masks"].includes(name) };
  }

  /** Ask the run to end, which it does in its own time. */
  async stop() {
    this.stopping = true;
    this.draw();
    const job = await this.ask(`${this.path}/cancel`, "POST");
    this.stopping = Boolean(job);
    this.job = job ?? this.job;
    this.draw();
  }

  /** Take the job off the list. What its run published stays on the server. */
  async forget() {
    if (await this.ask(this.path, "DELETE")) location.hash = "runs";
  }

  /** Take the job off the list and its folder off the server, if the visitor agrees. */
  async purge() {
    const details = `All that the run “${title(this.job)}” made leaves the server: images, labels, networks and report. This cannot be undone.`;
    if (!(await confirmed("Delete the files of this run?", details, "Delete files"))) return;
    if (await this.ask(`${this.path}?purge=true`, "DELETE")) location.hash = "runs";
  }

  /** The answer to a change, or null after a notice of what went wrong. */
  async ask(path, method) {
    try {
      return await json(path, { method, signal: this.controller.signal });
    } catch (problem) {
      if (problem.name !== "AbortError") this.fault.replaceChildren(notice(problem));
      return null;
    }
  }

  /** A plain link where no key is needed. A link cannot carry a key, so with one the report is fetched and saved. */
  reportButton() {
    const path = `${this.path}/report`;
    if (!apiKey.get()) return make("a", { class: "quiet", href: path, target: "_blank", rel: "noopener" }, make("span", { text: "Open report" }));
    return iconButton("down", "Save report", async () => {
      const url = URL.createObjectURL(await (await call(path)).blob());
      make("a", { href: url, download: `${this.id}.html` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    });
  }
}

/** What a run is about: its classes, or its preset. */
export function title(job) {
  const classes = job.spec.classes ?? [];
  if (!classes.length) return `All classes of ${job.spec.preset ?? "embedded"}`;
  return classes.length > 6 ? `${classes.slice(0, 5).join(", ")} and ${classes.length - 5} more` : classes.join(", ");
}

function stageRow(name, words) {
  return make(
    "div",
    { class: "stage", "data-stage": name, "data-state": "waiting" },
    make("span", { class: "sign" }, icon("check")),
    make("span", { class: "name", text: words }),
    make("div", { class: "bar", role: "progressbar", "aria-label": words, "aria-valuemin": "0", "aria-valuemax": "100" }, make("i")),
    make("span", { class: "much" }),
  );
}

function drawStage(row, { started, done, total, seconds, counted }, over, status) {
  const state = seconds !== null || (over && status === "succeeded") ? "done" : started ? (over ? "stopped" : "going") : "waiting";
  const share = state === "done" ? 1 : counted && total ? Math.min(1, done / total) : 0;
  const bar = row.querySelector(".bar");
  row.dataset.state = state;
  bar.classList.toggle("unknown", state === "going" && share === 0);
  bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
  bar.querySelector("i").style.setProperty("--w", `${100 * share}%`);
  const count = counted && total ? `${done} of ${total}` : "";
  const words = { done: seconds === null ? "" : duration(seconds), going: count || "working", stopped: count || "stopped", waiting: "" }[state];
  row.querySelector(".much").textContent = words;
}
