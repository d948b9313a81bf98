// Before the first paint, so that a chosen theme does not flash. The run report keeps its choice under the same name.
(() => {
  const root = document.documentElement;
  const NAME = "synthseg-theme";
  try {
    const chosen = localStorage.getItem(NAME);
    if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's choice holds then.
  }
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try {
        localStorage.setItem(NAME, root.dataset.theme);
      } catch {
        // As above.
      }
    });
  });
})();
