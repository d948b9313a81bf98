// A prompt becomes images: the form, the request, and the images as they arrive.

import { ApiProblem, events, objectUrl } from "./api.js";
import { byId, copy, duration, icon, iconButton, make, mark } from "./dom.js";
import { notice, sentence } from "./problems.js";
import { view } from "./viewer.js";

const SHOWN_SETS = 24;
const form = byId("composer");
const canvas = byId("canvas");
const button = byId("generate");
const said = byId("said"); // what a screen reader is told; the canvas itself has a clock that ticks
let greeting = null; // what the empty canvas shows
let caveat = null; // why a picture may lack what was asked, above the newest set's
let running = null; // the AbortController of the request that is going

/** Wire the form. `limits` is page/config.json. */
export function setUpCreate(limits) {
  for (const size of limits.sizes) byId("size").append(make("option", { value: size, text: size.replace("x", " × ") }));
  byId("size").value = limits.default_size;
  byId("n").value = Math.min(4, limits.max_images);
  greeting = welcome(limits.examples);
  caveat = make("p", { class: "hint caveat" }, make("b", { text: "CLIP score: " }), `how near a picture is to its prompt. ${limits.caveat}`);
  canvas.append(greeting);
  for (const step of form.querySelectorAll("[data-step]")) {
    step.addEventListener("click", () => {
      const wanted = (Number.parseInt(byId("n").value, 10) || 1) + Number(step.dataset.step);
      byId("n").value = Math.min(limits.max_images, Math.max(1, wanted));
      mark(byId("n"), "");
    });
  }
  byId("new-seed").addEventListener("click", () => (byId("seed").value = ""));
  form.addEventListener("input", (event) => event.target.closest(".field") && mark(event.target, ""));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) return running.abort();
    const settings = read();
    if (settings) generate(settings);
  });
}

function welcome(examples) {
  const tries = examples.map((text) =>
    make("button", {
      type: "button",
      text,
      onclick: () => {
        byId("prompt").value = text;
        mark(byId("prompt"), "");
        form.requestSubmit();
      },
    }),
  );
  return make(
    "div",
    { class: "welcome" },
    make("h1", { text: "Say what should be in the picture." }),
    make("p", { text: "Images appear here as they are made. The same prompt, size and seed give the same image, here and in a batch run." }),
    make("div", { class: "tries" }, ...tries),
  );
}

/** The form as a request body, or null with the wrong fields marked. Bounds are the server's to check; numbers must be numbers. */
function read() {
  let fine = true;
  const text = (id) => byId(id).value.trim();
  const number = (id) => {
    if (!text(id)) return undefined;
    const value = Number(text(id));
    mark(byId(id), Number.isFinite(value) ? "" : "Type a number.");
    fine &&= Number.isFinite(value);
    return value;
  };
  mark(byId("prompt"), text("prompt") ? "" : "Type what should be in the picture.");
  const settings = {
    prompt: text("prompt"),
    size: text("size"),
    n: number("n") ?? 1,
    seed: number("seed"),
    negative_prompt: text("negative_prompt") || undefined,
    refine: byId("refine").checked || undefined,
    class_names: text("class_names") ? text("class_names").split(",").map((name) => name.trim()).filter(Boolean) : undefined,
    steps: number("steps"),
    guidance_scale: number("guidance_scale"),
    output_format: text("output_format"),
  };
  if (!text("prompt")) byId("prompt").focus();
  return fine && text("prompt") ? settings : null;
}

/** Put `settings` back into the form. */
function write(settings) {
  for (const name of ["prompt", "size", "n", "seed", "negative_prompt", "steps", "guidance_scale", "output_format"]) {
    byId(name).value = settings[name] ?? "";
    mark(byId(name), "");
  }
  byId("class_names").value = (settings.class_names ?? []).join(", ");
  byId("refine").checked = Boolean(settings.refine);
  byId("prompt").focus();
}

function setRunning(controller) {
  running = controller;
  button.classList.toggle("going", Boolean(controller));
  button.querySelector("span").textContent = controller ? "Stop" : "Generate";
}

async function generate(settings) {
  const set = new ImageSet(settings);
  greeting.remove();
  canvas.prepend(set.node);
  while (canvas.children.length > SHOWN_SETS) canvas.lastElementChild.dispatchEvent(new Event("gone"));
  if (matchMedia("(max-width: 860px)").matches) set.node.scrollIntoView({ behavior: "smooth", block: "start" });
  const controller = new AbortController();
  setRunning(controller);
  try {
    const body = { ...settings, stream: true, partial_images: 1, score: true };
    for await (const event of events("v1/images/generations", { method: "POST", body, signal: controller.signal })) set.take(event);
    set.finish();
  } catch (problem) {
    if (problem.name === "AbortError") set.stop();
    else if (problem instanceof ApiProblem) set.fail(problem);
    else throw problem;
  } finally {
    setRunning(null);
  }
}

/** The images of one request: a tile for each, waiting, previewed, then final. */
class ImageSet {
  constructor(settings) {
    this.settings = settings;
    this.started = performance.now();
    this.urls = [];
    const [width, height] = settings.size.split("x").map(Number);
    this.tiles = Array.from({ length: settings.n }, (_, index) =>
      make("div", { class: "tile", role: "img", "aria-label": `Image ${index + 1} of ${settings.n}, waiting`, style: { "aspect-ratio": `${width} / ${height}` } }),
    );
    this.facts = make("span", { class: "facts", role: "timer", "aria-live": "off", text: "waiting" });
    this.words = make("h2", { text: settings.prompt });
    this.timer = setInterval(() => (this.facts.textContent = duration(this.seconds())), 100);
    this.body = make("div", { class: "tiles", "data-n": Math.min(settings.n, 10) }, ...this.tiles);
    this.node = make(
      "article",
      { class: "set", ongone: () => this.remove() },
      make("header", {}, this.words, make("div", { class: "side" }, this.facts, iconButton("again", "Use again", () => write(settings)))),
      caveat,
      this.body,
    );
    say(`Painting ${count(settings.n)}.`);
  }

  seconds() {
    return (performance.now() - this.started) / 1000;
  }

  /** One event of the stream. */
  take({ type, data }) {
    const tile = this.tiles[data.image_index ?? 0];
    if (!tile) return;
    if (type === "image_generation.partial_image") this.show(tile, data, false);
    else if (type === "image_generation.completed" && data.b64_json) this.show(tile, data, true);
    else if (type === "image_generation.completed") this.refuse(tile, `Withheld by the safety check: ${data.safety}.`);
  }

  show(tile, data, final) {
    const url = objectUrl(data.b64_json, `image/${data.output_format ?? "png"}`);
    this.urls.push(url);
    const text = data.revised_prompt || this.settings.prompt;
    const image = make("img", { src: url, alt: text });
    if (!final) return tile.replaceChildren(image, make("span", { class: "tag", text: "preview" }));
    const open = make("button", { type: "button", class: "open", "aria-label": `Open image, seed ${data.seed}${data.clip_score === undefined ? "" : `, CLIP score ${data.clip_score.toFixed(3)}`}`, onclick: (event) => this.open(url, data, event.currentTarget) }, image);
    const before = tile.querySelector("img");
    tile.removeAttribute("role");
    tile.removeAttribute("aria-label");
    tile.classList.add("done");
    // The preview stays below until the final image has faded in.
    const score = data.clip_score === undefined ? null : make("span", { class: "score", title: "CLIP score", text: data.clip_score.toFixed(3) });
    tile.replaceChildren(...[before, open, make("span", { class: "tag", text: `seed ${data.seed}` }), score].filter(Boolean));
    this.note(data);
  }

  /** What the server did otherwise than it was asked, once a set. */
  note({ revised_prompt: revised, ignored_parameters: ignored = [] }) {
    if (this.noted) return;
    this.noted = true;
    const header = this.node.querySelector("header");
    if (ignored.length) header.after(make("p", { class: "revised" }, make("b", { text: "Without effect on this engine: " }), ignored.join(", ")));
    if (!revised) return;
    const same = revised === this.settings.prompt;
    header.after(make("p", { class: "revised" }, make("b", { text: same ? "The agent found no better words." : "Refined to " }), same ? "" : revised));
  }

  refuse(tile, reason) {
    tile.classList.add("failed");
    tile.setAttribute("aria-label", "No image");
    tile.replaceChildren(make("p", { text: reason || "No image" }));
  }

  open(url, data, opener) {
    const settings = { ...this.settings, prompt: data.revised_prompt || this.settings.prompt, refine: undefined, n: 1, seed: data.seed };
    const extension = data.output_format === "jpeg" ? "jpg" : (data.output_format ?? "png");
    const command = iconButton("copy", "Copy as curl", () => copy(command, curl(settings)));
    view({
      url,
      text: settings.prompt,
      facts: [
        ["asked for", settings.prompt === this.settings.prompt ? "" : this.settings.prompt],
        ["size", settings.size.replace("x", " × ")],
        ["seed", String(data.seed)],
        ["CLIP score", data.clip_score?.toFixed(3)],
        ["leave out", settings.negative_prompt],
        ["model", data.model],
        ["SHA-256", data.sha256 && make("code", { text: data.sha256 })],
      ],
      actions: [
        make("a", { class: "quiet", href: url, download: `${slug(settings.prompt)}-${data.seed}.${extension}` }, icon("down"), make("span", { text: "Download" })),
        iconButton("again", "Use this seed", () => {
          byId("viewer").close();
          write(settings);
        }),
        command,
      ],
      step: (by) => this.tiles[this.tiles.findIndex((tile) => tile.contains(opener)) + by]?.querySelector(".open")?.click(),
    });
  }

  /** The stream ended: tiles that never got an image say so. */
  finish() {
    clearInterval(this.timer);
    for (const tile of this.tiles) if (!tile.matches(".done, .failed")) this.refuse(tile, "The server sent no image.");
    const done = this.tiles.filter((tile) => tile.matches(".done")).length;
    this.facts.textContent = `${count(done)} in ${duration(this.seconds())}`;
    say(`${this.facts.textContent}.`);
  }

  /** The visitor stopped it: what is there stays. */
  stop() {
    clearInterval(this.timer);
    this.facts.textContent = "stopped";
    say("Stopped.");
    for (const tile of this.tiles) if (!tile.matches(".done")) tile.remove();
    if (!this.body.children.length) this.remove();
  }

  /** A wrong field is marked in the form and the set goes; anything else is said here, beside the images that did come. */
  fail(problem) {
    clearInterval(this.timer);
    const input = problem.status === 400 && problem.param ? form.elements[problem.param] : null;
    if (input?.closest?.(".field")) {
      this.remove();
      input.closest("details")?.setAttribute("open", "");
      mark(input, sentence(problem));
      input.focus({ preventScroll: true });
      return input.scrollIntoView({ block: "nearest", behavior: "instant" });
    }
    this.facts.textContent = "";
    for (const tile of this.tiles) if (!tile.matches(".done")) tile.remove();
    const again = () => {
      this.remove();
      generate(this.settings);
    };
    this.body.before(notice(problem, again));
  }

  remove() {
    clearInterval(this.timer);
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.node.remove();
    if (!canvas.children.length) canvas.append(greeting);
  }
}

/** Tell who cannot see the canvas what has happened there. */
function say(text) {
  said.textContent = text;
}

const count = (number) => `${number} ${number === 1 ? "image" : "images"}`;

const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 48).replace(/^-|-$/g, "") || "image";

/** The same request on a command line; the key stays in a variable. */
function curl(settings) {
  const body = JSON.stringify(settings).replaceAll("'", "'\\''");
  const url = new URL("v1/images/generations", document.baseURI);
  return `curl ${url} -H "Authorization: Bearer $SYNTHSEG_API_KEY" -H 'Content-Type: application/json' -d '${body}'`;
}
