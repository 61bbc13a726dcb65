// What scrolls sideways can be scrolled with the keyboard too: it takes the focus, and only then.
// The theme does this for code; here are formulas, tables and other outputs.
(function () {
  "use strict";

  const SCROLLS = "mjx-container, .cell_output, .ledger, .pst-scrollable-table-container";

  function update() {
    for (const region of document.querySelectorAll(SCROLLS)) {
      if (region.scrollWidth > region.clientWidth + 1) region.tabIndex = 0;
      else region.removeAttribute("tabindex");
    }
  }

  window.addEventListener("resize", update);
  document.addEventListener("toggle", update, true); // an opened answer shows more
  window.addEventListener("load", () => {
    update();
    window.MathJax?.startup?.promise?.then(update);
  });
})();
