// Runs before the first paint, so that a dark page does not flash white: a classic script, no module.
(() => {
  const KEY = "vibe.theme";
  const ORDER = ["system", "light", "dark"];
  const read = () => {
    try {
      const kept = localStorage.getItem(KEY);
      return ORDER.includes(kept) ? kept : "system";
    } catch {
      return "system"; // storage is forbidden in some private windows
    }
  };
  const show = (choice) => {
    if (choice === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = choice;
  };
  window.vibeTheme = {
    get: read,
    next() {
      const choice = ORDER[(ORDER.indexOf(read()) + 1) % ORDER.length];
      try {
        localStorage.setItem(KEY, choice);
      } catch {
        // shown now, forgotten at the next visit
      }
      show(choice);
      return choice;
    },
  };
  show(read());
})();
