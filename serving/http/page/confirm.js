// One question before what cannot be undone.

import { byId } from "./dom.js";

const dialog = byId("confirm-dialog");

/** Wire the dialog. */
export function setUpConfirm() {
  byId("confirm-no").addEventListener("click", () => dialog.close(""));
  byId("confirm-yes").addEventListener("click", () => dialog.close("yes"));
}

/** Ask `question`, with `details` on what will happen; `yes` stands on the button that agrees. True when the visitor does. */
export function confirmed(question, details, yes) {
  byId("confirm-question").textContent = question;
  byId("confirm-details").textContent = details;
  byId("confirm-yes").querySelector("span").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
