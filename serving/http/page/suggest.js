// The prompt agent's proposals for a class, as it accepts them.

import { ApiProblem, events } from "./api.js";
import { byId, make, mark } from "./dom.js";
import { notice } from "./problems.js";

const COUNT = 4;
const button = byId("suggest-go");
const place = byId("suggested");
let asking = null; // the AbortController of the request that is going

/** Wire the part. `limits` is page/config.json. */
export function setUpSuggest(limits) {
  for (const name of limits.classes) byId("suggest-class").append(make("option", { value: name, text: name }));
  button.addEventListener("click", () => (asking ? asking.abort() : ask()));
}

function setAsking(controller) {
  asking = controller;
  button.querySelector("span").textContent = controller ? "Stop" : "Ask";
}

async function ask() {
  const wait = make("p", { class: "hint", text: "The agent writes, rates and compares; each round takes a while." });
  place.replaceChildren(wait);
  setAsking(new AbortController());
  try {
    const body = { class_name: byId("suggest-class").value, count: COUNT, stream: true };
    for await (const { type, data } of events("v1/prompts", { method: "POST", body, signal: asking.signal })) {
      if (type === "prompt.found") wait.before(proposal(data));
    }
    if (place.children.length === 1) wait.before(make("p", { class: "hint", text: "It accepted none this time." }));
  } catch (problem) {
    if (problem.name !== "AbortError" && !(problem instanceof ApiProblem)) throw problem;
    if (problem.name !== "AbortError") wait.before(notice(problem, ask));
  } finally {
    wait.remove();
    setAsking(null);
  }
}

/** A prompt that a click takes over. */
function proposal({ text, quality }) {
  return make("button", {
    type: "button",
    text,
    title: `quality ${quality.toFixed(2)}`,
    onclick: () => {
      byId("prompt").value = text;
      mark(byId("prompt"), "");
      byId("prompt").focus();
    },
  });
}
