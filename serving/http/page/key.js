// The API key: asked for, checked with the server, kept for this tab.

import { ApiProblem, apiKey, json } from "./api.js";
import { byId, mark } from "./dom.js";

const dialog = byId("key-dialog");
const input = byId("key");
const form = dialog.querySelector("form");
let after = null;

/** Open the dialog; `then` runs once a key is accepted. */
export function askForKey(then = null) {
  after = typeof then === "function" ? then : null;
  input.value = apiKey.get();
  mark(input, "");
  byId("key-forget").hidden = !apiKey.get();
  if (!dialog.open) dialog.showModal();
  input.select();
}

/** Wire the dialog. `changed` runs whenever the key did. */
export function setUpKey(changed) {
  const show = () => byId("key-button").toggleAttribute("data-set", Boolean(apiKey.get()));
  show();
  byId("key-button").addEventListener("click", () => askForKey());
  byId("key-cancel").addEventListener("click", () => dialog.close());
  byId("key-forget").addEventListener("click", () => {
    apiKey.set("");
    show();
    dialog.close();
    changed();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = input.value.trim();
    const reason = await refusal(key);
    mark(input, reason);
    if (reason) return input.select();
    apiKey.set(key);
    show();
    dialog.close();
    changed();
    after?.();
  });
}

/** Why the server refuses `key`, or nothing. */
async function refusal(key) {
  if (!key) return "Type a key first.";
  try {
    await json("v1/models", { key });
    return "";
  } catch (problem) {
    if (!(problem instanceof ApiProblem)) return "A key has no such characters.";
    return problem.status === 401 ? "The server does not accept this key." : problem.message;
  }
}
