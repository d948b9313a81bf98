// Elements without a framework. Text only ever becomes a text node, so nothing a server or a model says can turn into markup.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element. `on*` properties become listeners, `text` the content, null and false properties are left out. */
export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "text") node.textContent = value;
    else if (name === "style") for (const [key, part] of Object.entries(value)) node.style.setProperty(key, part);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An icon of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button with an icon and a name. */
export const iconButton = (name, label, onclick, properties = {}) =>
  make("button", { type: "button", class: "quiet", onclick, ...properties }, icon(name), make("span", { text: label }));

/** Copy `text` and say so on the button for a moment. */
export async function copy(button, text) {
  const label = button.querySelector("span");
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(text);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Not allowed here";
  }
  setTimeout(() => (label.textContent = before), 1500);
}

/** Seconds as a person says them: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min. */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** How long ago a moment (seconds since the epoch) was. */
export function ago(moment) {
  const seconds = Math.max(0, Date.now() / 1000 - moment);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(moment * 1000).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** Mark a field as wrong, with the reason under it; without a reason the mark goes. */
export function mark(input, reason) {
  const field = input.closest(".field");
  field.querySelector(".problem")?.remove();
  input.toggleAttribute("aria-invalid", Boolean(reason));
  if (!reason) return input.removeAttribute("aria-describedby");
  input.setAttribute("aria-invalid", "true");
  const id = `${input.id}-problem`;
  input.setAttribute("aria-describedby", id);
  field.append(make("p", { class: "problem", id, role: "alert", text: reason }));
}
