// A problem in a person's words, with the way out.

import { apiKey } from "./api.js";
import { duration, icon, make } from "./dom.js";
import { askForKey } from "./key.js";

function words(problem) {
  switch (problem.status) {
    case 0:
      return ["No answer", `${problem.message} Is it still running?`];
    case 401:
      return apiKey.get()
        ? ["Wrong key", "The server does not accept this API key. Check it, or ask whoever runs the server for a new one."]
        : ["A key is needed", "This server answers only with an API key."];
    case 404:
      return ["Not found", problem.message];
    case 409:
      return ["Under way already", problem.message];
    case 413:
      return ["Too large", problem.message];
    case 429:
      return problem.code === "overloaded"
        ? ["The server is busy", "Every place in its queue is taken. Nothing is wrong with your request."]
        : ["Limit reached", problem.message];
    case 503:
      return ["Not ready", problem.message];
    case 504:
      return ["Too slow", problem.message];
    default:
      return [problem.status >= 500 ? "The server failed" : "Not possible", problem.message];
  }
}

/** What is said under a wrong field: "n: must be at most 10" is "Must be at most 10" there. */
export function sentence({ message, param }) {
  const text = message.startsWith(`${param}: `) ? message.slice(param.length + 2) : message;
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A notice about `problem`. With `again`, it offers to try again, after the wait that the server asked for. */
export function notice(problem, again) {
  const [title, text] = words(problem);
  const actions = make("div", { class: "actions" });
  if (problem.status === 401) {
    actions.append(make("button", { type: "button", class: "quiet", onclick: () => askForKey(again) }, icon("key"), make("span", { text: "Enter a key" })));
  } else if (again && (problem.status === 0 || problem.status === 429 || problem.status >= 500)) {
    actions.append(againButton(again, problem.retryAfterS));
  }
  return make(
    "div",
    { class: "notice", "data-status": problem.status },
    // The button below counts down: outside of what is read aloud.
    make("div", { class: "said", role: "alert" }, make("strong", { text: title }), make("p", { text })),
    problem.requestId && problem.status >= 500 && make("p", { class: "request" }, "Request ", make("code", { text: problem.requestId })),
    actions.children.length > 0 && actions,
  );
}

function againButton(again, waitS) {
  const label = make("span", { text: "Try again" });
  const button = make("button", { type: "button", class: "quiet", onclick: again }, icon("again"), label);
  const until = Date.now() + 1000 * (waitS ?? 0);
  const tick = () => {
    const left = (until - Date.now()) / 1000;
    button.disabled = left > 0;
    label.textContent = left > 0 ? `Try again in ${left < 10 ? `${Math.ceil(left)} s` : duration(left)}` : "Try again";
    if (left > 0) setTimeout(tick, 250);
  };
  tick();
  return button;
}
