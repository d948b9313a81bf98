// The images a run has kept so far, by class.

import { ApiProblem, call, json } from "./api.js";
import { make } from "./dom.js";
import { view } from "./viewer.js";

const PAGE = 36;
const EVERY_MS = 4000;

export class Gallery {
  /** Images of the job `id`; requests end with `signal`. */
  constructor(id, signal) {
    this.path = `v1/jobs/${encodeURIComponent(id)}`;
    this.signal = signal;
    this.shots = new Map(); // by sample id
    this.urls = [];
    this.filter = "";
    this.asked = 0;
    this.settled = false;
    this.more = make("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.load() }, make("span", { text: "Show more" }));
    this.chips = make("div", { class: "chips", role: "group", "aria-label": "Filter by class" });
    this.grid = make("div", { class: "gallery" });
    this.count = make("p");
    this.empty = make("p", { class: "absent", text: "No image is published so far." });
    this.node = make("section", { class: "canvas shots", "aria-label": "Gallery" }, make("div", { class: "above" }, make("h2", { text: "Gallery" }), this.count), this.chips, this.empty, this.grid, make("div", {}, this.more));
    // An image is fetched when it comes near the screen: a run keeps hundreds.
    this.watch = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && this.fetch(entry.target)), { rootMargin: "300px" });
  }

  close() {
    this.watch.disconnect();
    for (const url of this.urls.splice(0)) URL.revokeObjectURL(url);
  }

  /** Ask for the first images until they are as many as fit and stay the same: workers publish out of order. More only comes by the button. */
  refresh() {
    if (this.settled || Date.now() - this.asked < EVERY_MS) return;
    this.asked = Date.now();
    this.load(0);
  }

  /** All that is shown, asked for again: relabelling has changed labels and taken samples away. */
  reload() {
    this.close();
    this.shots.clear();
    this.grid.replaceChildren();
    this.load(0);
  }

  async load(offset = this.shots.size) {
    try {
      const { data } = await json(`${this.path}/gallery?offset=${offset}&limit=${PAGE}`, { signal: this.signal });
      const before = this.shots.size;
      for (const [index, sample] of data.entries()) this.place(this.shots.get(sample.sample_id) ?? this.add(sample), offset + index);
      if (offset === 0) this.settled = data.length === PAGE && this.shots.size === before;
      this.more.hidden = data.length < PAGE;
      this.empty.hidden = this.shots.size > 0;
      this.count.textContent = this.shots.size ? "The number is the CLIP score." : "";
      this.showChips();
    } catch (problem) {
      if (problem.name !== "AbortError" && !(problem instanceof ApiProblem)) throw problem;
      // The run view says what is wrong with the job; the next refresh asks again.
    }
  }

  add(sample) {
    const image = make("img", { alt: sample.prompt });
    const shot = make(
      "button",
      { type: "button", class: "shot", "data-id": sample.sample_id, "data-owner": sample.owner, onclick: () => this.open(sample, image, shot) },
      make("span", { class: "frame" }, image, make("span", { class: "score", text: sample.clip_score.toFixed(3) })),
      make("span", { class: "body" }, make("span", { class: "words", text: sample.prompt }), labels(sample)),
    );
    this.shots.set(sample.sample_id, shot);
    this.watch.observe(shot);
    shot.hidden = Boolean(this.filter) && this.filter !== sample.owner;
    return shot;
  }

  /** Put the shot where the server has it. */
  place(shot, index) {
    const there = this.grid.children[index] ?? null;
    if (there !== shot) this.grid.insertBefore(shot, there);
  }

  async fetch(shot) {
    this.watch.unobserve(shot);
    if (shot.dataset.asked) return;
    shot.dataset.asked = "yes";
    try {
      const response = await call(`${this.path}/images/${encodeURIComponent(shot.dataset.id)}`, { signal: this.signal });
      const url = URL.createObjectURL(await response.blob());
      this.urls.push(url);
      shot.querySelector("img").src = url;
    } catch (problem) {
      if (problem.name !== "AbortError") shot.querySelector(".score").textContent = "cannot be loaded";
    }
  }

  showChips() {
    const owners = [...new Set([...this.shots.values()].map((shot) => shot.dataset.owner))].sort();
    if (owners.length < 2) return;
    const chip = (name, words) => make("button", { type: "button", text: words, "aria-pressed": String(this.filter === name), onclick: () => this.choose(name) });
    this.chips.replaceChildren(chip("", "all"), ...owners.map((name) => chip(name, name)));
  }

  choose(name) {
    this.filter = name;
    for (const shot of this.shots.values()) shot.hidden = Boolean(name) && shot.dataset.owner !== name;
    this.showChips();
  }

  async open(sample, image, shot) {
    if (!image.src) await this.fetch(shot);
    if (!image.src) return;
    view({
      url: image.src,
      text: sample.prompt,
      facts: [
        ["asked for", sample.owner],
        ["CLIP score", sample.clip_score.toFixed(3)],
        ["labels", labels(sample)],
        ["size", `${sample.width} × ${sample.height}`],
        ["seed", String(sample.seed)],
        ["sample", make("code", { text: sample.sample_id })],
      ],
      step: (by) => {
        const shown = [...this.grid.children].filter((other) => !other.hidden);
        shown[shown.indexOf(shot) + by]?.click();
      },
    });
  }
}

function labels(sample) {
  const chips = Object.entries(sample.labels ?? {})
    .filter(([, state]) => state !== "absent")
    .map(([name, state]) => make("span", { class: `label ${state}`, title: `${name}: ${state}`, text: state === "unknown" ? `${name}?` : name }));
  return chips.length ? make("span", { class: "labels" }, ...chips) : null;
}
