// Runs of the pipeline: start one, watch it, look through what it keeps.

import { ApiProblem, apiKey, json } from "./api.js";
import { ago, byId, make, mark } from "./dom.js";
import { notice, sentence } from "./problems.js";
import { RunView, title } from "./run.js";

const POLL_MS = 3000;
const form = byId("new-run");
const list = byId("run-list");
const place = byId("run");
let limits = null;
let timer = 0;
let opened = null; // the RunView on the right
let wanted = ""; // the id in the address

/** Wire the form. `offer` is page/config.json. */
export function setUpRuns(offer) {
  limits = offer;
  if (!offer.jobs) {
    form.querySelector("[type=submit]").disabled = true;
    list.replaceChildren(make("p", { class: "absent", text: "This server takes no runs: serving.jobs is off." }));
  }
  for (const preset of offer.presets) byId("preset").append(make("option", { value: preset.name, text: preset.name }));
  byId("preset").addEventListener("change", showClasses);
  showClasses();
  form.addEventListener("input", (event) => event.target.closest(".field") && mark(event.target, ""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
}

/** Show the view, with the run `id` opened where there is one. */
export async function showRuns(id) {
  wanted = id;
  byId("view-runs").toggleAttribute("data-open", Boolean(id));
  form.hidden = Boolean(id);
  place.hidden = !id;
  if (opened?.id !== id) close();
  clearTimeout(timer);
  if (limits.jobs) await refresh();
}

/** Stop asking while another view is open. */
export function leaveRuns() {
  clearTimeout(timer);
  wanted = "";
  close();
}

function close() {
  opened?.close();
  opened = null;
}

async function refresh() {
  const asked = wanted;
  try {
    const { data } = await json("v1/jobs");
    if (asked !== wanted) return;
    showList(data);
    if (wanted && !opened) open(wanted);
  } catch (problem) {
    if (!(problem instanceof ApiProblem)) throw problem;
    delete list.dataset.key;
    list.replaceChildren(notice(problem, refresh));
  }
  clearTimeout(timer);
  if (!byId("view-runs").hidden) timer = setTimeout(refresh, POLL_MS);
}

function open(id) {
  close();
  opened = new RunView(id, refresh, () => open(id));
  place.replaceChildren(opened.node);
}

function showList(jobs) {
  const rows = jobs.map((job) =>
    make(
      "a",
      { class: "job", href: `#runs/${encodeURIComponent(job.id)}`, "aria-current": job.id === wanted && "true" },
      make("span", { class: "dot", "data-status": job.status }),
      make("b", { text: title(job) }),
      make("time", { text: ago(job.created_at) }),
      make("small", { text: `${job.status} · ${job.spec.preset ?? "embedded"}` }),
    ),
  );
  // Replaced only when something changed, so that focus and hover stay.
  const key = JSON.stringify(jobs.map((job) => [job.id, job.status, ago(job.created_at)])) + wanted;
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...(rows.length ? rows : [make("p", { class: "absent", text: apiKey.get() ? "None of this key yet." : "None yet." })]));
}

function showClasses() {
  const preset = limits.presets.find(({ name }) => name === byId("preset").value);
  const chips = preset.choices.map((name) =>
    make("button", {
      type: "button",
      text: name,
      "aria-pressed": "false",
      onclick: (event) => event.target.setAttribute("aria-pressed", String(event.target.getAttribute("aria-pressed") !== "true")),
    }),
  );
  byId("classes").replaceChildren(...chips);
  form.querySelector(".hint").textContent = `Choose none to take the ${preset.classes.length} of the preset: ${preset.classes.slice(0, 12).join(", ")}${preset.classes.length > 12 ? " and more" : ""}.`;
}

async function submit() {
  const number = (id) => (byId(id).value.trim() ? Number(byId(id).value) : undefined);
  let fine = true;
  for (const id of ["per_class", "run-seed"]) {
    const wrong = Number.isNaN(number(id));
    mark(byId(id), wrong ? "Type a number." : "");
    fine &&= !wrong;
  }
  if (!fine) return;
  const classes = [...byId("classes").querySelectorAll("[aria-pressed=true]")].map((chip) => chip.textContent);
  const settings = byId("settings").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const body = { preset: byId("preset").value, classes, per_class: number("per_class"), seed: number("run-seed"), settings };
  form.querySelector(".notice")?.remove();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    const job = await json("v1/jobs", { method: "POST", body });
    location.hash = `runs/${encodeURIComponent(job.id)}`;
  } catch (problem) {
    if (!(problem instanceof ApiProblem)) throw problem;
    const input = problem.status === 400 && problem.param ? form.elements[problem.param] : null;
    if (!input?.closest?.(".field")) return button.parentElement.before(notice(problem, submit));
    input.closest("details")?.setAttribute("open", "");
    mark(input, sentence(problem));
  } finally {
    button.disabled = false;
  }
}
