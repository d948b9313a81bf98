// The entry: which view is open, and how the server is.

import { call, json } from "./api.js";
import { setUpConfirm } from "./confirm.js";
import { setUpCreate } from "./create.js";
import { byId } from "./dom.js";
import { askForKey, setUpKey } from "./key.js";
import { leaveRuns, setUpRuns, showRuns } from "./runs.js";
import { setUpSuggest } from "./suggest.js";
import { setUpViewer } from "./viewer.js";

const POLL_MS = 10_000;
const state = byId("state");

function setState(name, words, details = "") {
  state.dataset.state = name;
  state.title = details;
  state.querySelector("span").textContent = words;
}

/** Ask /readyz, which needs no key, whether images can be made now. */
async function askState() {
  if (document.hidden) return;
  try {
    await call("readyz", { key: "" });
    setState("ready", "ready");
  } catch (problem) {
    if (problem.status === 503) setState("starting", "not ready", problem.message);
    else setState("gone", problem.status ? "failing" : "no answer", problem.message);
  }
}

function route() {
  const [name, id] = location.hash.slice(1).split("/");
  const runs = name === "runs";
  byId("view-create").hidden = runs;
  byId("view-runs").hidden = !runs;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === (runs ? "runs" : "create")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = runs ? "Runs · SynthSeg" : "SynthSeg";
  if (runs) showRuns(id ? decodeURIComponent(id) : "");
  else leaveRuns();
}

const limits = await json("page/config.json");
setUpKey(route);
setUpConfirm();
setUpViewer();
setUpCreate(limits);
setUpSuggest(limits);
setUpRuns(limits);
addEventListener("hashchange", route);
route();
askState();
setInterval(askState, POLL_MS);
document.addEventListener("visibilitychange", askState);
json("v1/models").catch((problem) => problem.status === 401 && askForKey());
