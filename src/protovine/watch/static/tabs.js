// Tabs of one panel: one of them is chosen, by click or by keys.

// `show` gets the tab that is chosen. Arrows, Home and End move between those that are not hidden.
export function prepare(tabs, show) {
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1; // The tabulator key goes to the chosen one only.
    }
    show(chosen);
  };
  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const shown = tabs.filter((each) => !each.hidden);
      const at = shown.indexOf(tab);
      const to = { ArrowLeft: at - 1, ArrowRight: (at + 1) % shown.length, Home: 0, End: -1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(shown.at(to));
      shown.at(to).focus();
    });
  }
}
