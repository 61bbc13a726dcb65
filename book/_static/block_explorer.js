// The block explorer of chapter 1 for the built page, where no Python runs.
// Same settings, same words and same counts as fashionlib/pages/block_explorer.py; a test holds the
// two equal.
(function () {
  "use strict";

  // name: [label, least, most, step, start]
  const SLIDERS = {
    in_channels: ["channels in", 8, 160, 8, 24],
    out_channels: ["channels out", 8, 160, 8, 32],
    expansion: ["expansion", 1, 8, 1, 3],
    stride: ["stride", 1, 2, 1, 1],
    size: ["map size", 7, 112, 1, 32],
  };
  const STEPS = {
    expand: "expand 1×1",
    filter: "filter 3×3",
    project: "project 1×1",
    block: "whole block",
    plain: "plain 3×3 convolution",
  };
  const number = (value) => value.toLocaleString("en-US");

  // a convolution without bias and the scale and shift of the normalisation behind it
  function convolution(inputs, outputs, kernel, groups, size) {
    const weights = (inputs / groups) * outputs * kernel * kernel;
    return {
      shape: [outputs, size, size],
      parameters: weights + 2 * outputs,
      macs: weights * size * size,
    };
  }

  function countBlock(s) {
    const hidden = s.in_channels * s.expansion;
    const small = Math.ceil(s.size / s.stride);
    const expand = convolution(s.in_channels, hidden, 1, 1, s.size);
    const filter = convolution(hidden, hidden, 3, s.depthwise ? hidden : 1, small);
    const project = convolution(hidden, s.out_channels, 1, 1, small);
    const sum = (kind) => expand[kind] + filter[kind] + project[kind];
    const block = { shape: project.shape, parameters: sum("parameters"), macs: sum("macs") };
    const plain = convolution(s.in_channels, s.out_channels, 3, 1, small);
    return { expand, filter, project, block, plain };
  }

  function skipSentence(s) {
    const reasons = [];
    if (s.stride !== 1) reasons.push(`the stride is ${s.stride}`);
    if (s.in_channels !== s.out_channels) {
      reasons.push(`${s.in_channels} channels come in and ${s.out_channels} go out`);
    }
    if (reasons.length) return `No skip: ${reasons.join(" and ")}.`;
    return "Skip: the input is added to the output, both have the same shape.";
  }

  function summary(s, counts) {
    const { block, plain } = counts;
    return (
      `The block has ${number(block.parameters)} parameters and takes ${number(block.macs)} ` +
      `MACs; a plain 3×3 convolution has ${number(plain.parameters)} and takes ` +
      `${number(plain.macs)}. ${skipSentence(s)}`
    );
  }

  function element(parent, tag, attributes = {}, text = "") {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    parent.append(made);
    return made;
  }

  function build(root, prefix) {
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Block explorer");
    const controls = element(root, "div", { class: "bx-controls" });
    const inputs = {};
    const outputs = {};
    for (const [name, [label, min, max, step, value]] of Object.entries(SLIDERS)) {
      const id = `${prefix}-${name}`;
      const row = element(controls, "div", { class: "bx-control" });
      element(row, "label", { for: id }, label);
      inputs[name] = element(row, "input", { type: "range", id, name, min, max, step, value });
      outputs[name] = element(row, "output", { for: id }, String(value));
    }
    const row = element(controls, "div", { class: "bx-control" });
    const id = `${prefix}-depthwise`;
    element(row, "label", { for: id }, "depthwise");
    inputs.depthwise = element(row, "input", { type: "checkbox", id, name: "depthwise" });
    inputs.depthwise.checked = true;

    const sentence = element(root, "p", { class: "bx-summary", "aria-live": "polite" });
    const table = element(root, "table", { class: "bx-table" });
    const head = element(element(table, "thead"), "tr");
    for (const name of ["step", "parameters", "MACs"]) element(head, "th", { scope: "col" }, name);
    const body = element(table, "tbody");
    const cells = {};
    for (const [step, label] of Object.entries(STEPS)) {
      const line = element(body, "tr", { class: `bx-${step}` });
      const title = element(line, "th", { scope: "row" }, label);
      cells[step] = { shape: element(title, "span", { class: "bx-shape" }) };
      for (const kind of ["parameters", "macs"]) {
        const cell = element(line, "td");
        const count = element(cell, "span", { "data-step": step, "data-count": kind });
        const bar = element(element(cell, "div", { class: "bx-bar", "aria-hidden": "true" }), "div");
        cells[step][kind] = { count, bar };
      }
    }

    function update() {
      const s = { depthwise: inputs.depthwise.checked };
      for (const name of Object.keys(SLIDERS)) {
        s[name] = Number(inputs[name].value);
        outputs[name].textContent = inputs[name].value;
      }
      const counts = countBlock(s);
      for (const kind of ["parameters", "macs"]) {
        const most = Math.max(...Object.values(counts).map((line) => line[kind]));
        for (const step of Object.keys(STEPS)) {
          cells[step][kind].count.textContent = number(counts[step][kind]);
          cells[step][kind].bar.style.width = `${(100 * counts[step][kind]) / most}%`;
        }
      }
      for (const step of Object.keys(STEPS)) {
        cells[step].shape.textContent = counts[step].shape.join(" × ");
      }
      sentence.textContent = summary(s, counts);
    }
    root.addEventListener("input", update);
    update();
  }

  document.querySelectorAll(".block-explorer").forEach((root, i) => build(root, `bx${i}`));
})();
