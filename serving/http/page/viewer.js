// One image, large, with all that is known about it.

import { byId, make } from "./dom.js";

const dialog = byId("viewer");

let step = null;

/** Show `url` with a text, facts as [name, value] pairs, and actions as elements. Facts without a value are left out.
 * `step(1)` and `step(-1)` show the next and the previous image, for the arrow keys. */
export function view({ url, text, facts, actions = [], step: move = null }) {
  step = move;
  const image = dialog.querySelector("img");
  image.src = url;
  image.alt = text;
  const list = make("dl");
  for (const [name, value] of facts) {
    if (value === null || value === undefined || value === "") continue;
    list.append(make("dt", { text: name }), typeof value === "object" ? make("dd", {}, value) : make("dd", { text: value }));
  }
  dialog.querySelector(".text").replaceChildren(make("p", { class: "words", text }), list, make("div", { class: "actions" }, ...actions));
  if (!dialog.open) dialog.showModal();
}

/** Wire the ways out. */
export function setUpViewer() {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest(".shut")) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") step?.(1);
    if (event.key === "ArrowLeft") step?.(-1);
  });
}
