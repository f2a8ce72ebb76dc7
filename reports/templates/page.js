"use strict";
// What a page can do without a server: move the window of a test, and search a table. All text goes in as text.
(() => {
  const make = (name, cells = {}, ...children) => {
    const node = Object.assign(document.createElement(name), cells);
    node.append(...children);
    return node;
  };
  const day = (first, offset) => new Date(Date.parse(first) + offset * 864e5).toISOString().slice(0, 10);

  document.querySelectorAll(".what-if[data-grid]").forEach((box) => {
    const grid = JSON.parse(box.dataset.grid);
    const part = (name) => box.querySelector(`[data-part=${name}]`);
    const slider = (name, min, max, value) => {
      const input = make("input", { type: "range", min, max, name });
      input.value = value;
      const said = make("output");
      box.querySelector("dl").before(make("label", { className: "slider" }, `${name} `, input, " ", said));
      input.addEventListener("input", show);
      return [input, said];
    };
    const strip = box.querySelector(".strip .box");
    const unit = parseFloat(strip.style.width) / grid.days;
    const left = parseFloat(strip.style.left) - grid.begin * unit;
    const [start, startSaid] = slider("First day", 0, grid.cells.length - 1, grid.begin);
    const [length, lengthSaid] = slider("Length", 0, grid.cells[0].length - 1, grid.days - grid.shortest);
    const again = make("button", { type: "button", textContent: "As registered" });
    again.addEventListener("click", () => {
      start.value = grid.begin;
      length.value = grid.days - grid.shortest;
      show();
    });
    box.querySelector("dl").before(again);
    function show() {
      const at = +start.value;
      const days = +length.value + grid.shortest;
      const end = day(grid.first, at + days - 1);
      const x = grid.outcomes[grid.cells[at][+length.value]];
      const told = {
        window: `${day(grid.first, at)} to ${end < grid.last ? end : `${grid.last}, where the frame ends`}`,
        counts: `${x[0]} in ${x[1]} days inside, ${x[2]} in ${x[3]} days outside`,
        estimate: x[4], p: x[5], attainable: x[6], interval: x[7], verdict: x[8], reason: x[9],
      };
      for (const [name, text] of Object.entries(told)) part(name).textContent = text;
      startSaid.textContent = day(grid.first, at);
      lengthSaid.textContent = `${days} ${days === 1 ? "day" : "days"}`;
      start.setAttribute("aria-valuetext", startSaid.textContent);
      length.setAttribute("aria-valuetext", lengthSaid.textContent);
      strip.style.left = `${left + at * unit}%`;
      strip.style.width = `${Math.min(days * unit, 100 - left - at * unit)}%`;
    }
    show();
  });

  document.querySelectorAll(".scroll > table").forEach((table) => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 6) return;
    const count = make("output", {}, `${rows.length} rows`);
    const input = make("input", { type: "search", name: "search" });
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    });
    const name = table.caption ? table.caption.textContent : "this table";
    input.setAttribute("aria-label", `Search ${name}`);
    table.parentElement.before(make("p", { className: "search" }, make("label", {}, "Search ", input), " ", count));
  });
})();
