// The search explorer of chapter 4 in the built page, where no Python runs.
// fashionlib/pages/search_explorer.py has put every answer into a <template>; this shows the chosen one.
(function () {
  "use strict";

  function build(root) {
    const shown = root.querySelector(".sx-shown");
    const { start, ends } = JSON.parse(root.querySelector("script").textContent);
    // the first pictures are in the answer that shows without this script, the others in the data
    const pictures = Array.from(shown.querySelectorAll("img"), (image) => image.src);
    pictures.push(...ends.map((end) => start + end));

    function copy(template) {
      const fresh = template.content.cloneNode(true);
      for (const image of fresh.querySelectorAll("img")) {
        image.src = pictures[image.dataset.picture];
      }
      return fresh;
    }

    function update() {
      const query = root.querySelector("input:checked").value;
      const part = root.querySelector("select").value;
      const answer = copy(root.querySelector(`template[data-answer="${query} ${part}"]`));
      // a screen reader says a new text of the same element, not a new element
      shown.querySelector(".sx-said").textContent = answer.querySelector(".sx-said").textContent;
      shown.querySelector(".sx-row").replaceWith(answer.querySelector(".sx-row"));
    }

    shown.before(copy(root.querySelector(".sx-choice")));
    root.addEventListener("change", update);
  }

  // the one in a running notebook has no templates and needs no script
  document.querySelectorAll(".search-explorer:has(template)").forEach(build);
})();
