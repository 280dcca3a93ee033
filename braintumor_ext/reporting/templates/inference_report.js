"use strict";
const byId = (id) => document.getElementById(id);
const table = document.querySelector("table");
const headers = [...table.tHead.rows[0].cells];
const labels = headers.map((header) => header.textContent);
table.role = "table";
table.style.setProperty("--classes", table.querySelectorAll("th.share").length);
headers.forEach((header) => { header.role = "columnheader"; });
const rows = [...table.tBodies[0].rows]; // in the order shown, hidden ones too

// Base64 or null for each row, in the rows' first order. The text goes as soon as it is read: it may be 30 MB.
const pictures = JSON.parse(byId("pictures").textContent);
byId("pictures").remove();
const pictureOf = new Map(rows.map((row, position) => [row, pictures[position]]));
const addressOf = (row) => "data:image/jpeg;base64," + pictureOf.get(row);

// --- Pictures: an <img> only where the reader is.
function showPicture(row) {
  const button = row.querySelector(".picture");
  if (!pictureOf.get(row) || button.firstElementChild) return;
  const image = new Image();
  image.alt = button.textContent;
  image.src = addressOf(row);
  button.replaceChildren(image);
}
function dropPicture(row) {
  const image = row.querySelector(".picture img");
  if (image) image.replaceWith(image.alt);
}
const nearby = new IntersectionObserver(
  (entries) => entries.forEach((entry) => (entry.isIntersecting ? showPicture : dropPicture)(entry.target)),
  { rootMargin: "1000px" },
);
for (const row of rows) {
  nearby.observe(row);
  row.role = "row"; // as grids they would not count as rows everywhere
  [...row.cells].forEach((cell, column) => {
    cell.role = "cell";
    cell.dataset.label = labels[column];
    if (cell.matches(".share")) cell.style.setProperty("--share", cell.dataset.sort ?? 0);
  });
}
addEventListener("beforeprint", () => {
  nearby.disconnect();
  visible().forEach(showPicture);
});
addEventListener("afterprint", () => rows.forEach((row) => nearby.observe(row)));

// --- Sorting: a stable sort; a value that is missing comes last in both directions.
const collator = new Intl.Collator("en", { numeric: true });
function sortBy(column) {
  const header = headers[column];
  const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const isNumber = header.classList.contains("number");
  const keys = new Map(rows.map((row) => {
    const key = row.cells[column].dataset.sort;
    return [row, key === undefined || !isNumber ? key : Number(key)];
  }));
  rows.sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (isNumber ? x - y : collator.compare(x, y));
  });
  headers.forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  table.tBodies[0].append(...rows);
}
headers.forEach((header, column) => header.firstElementChild.addEventListener("click", () => sortBy(column)));

// --- Filters
const plain = (text) => text.normalize("NFC").toLowerCase();
const visible = () => rows.filter((row) => !row.hidden);
function applyFilters() {
  const [group, flag] = [byId("class").value, byId("flag").value];
  const [least, most, text] = [byId("least").value, byId("most").value, plain(byId("text").value.trim())];
  for (const row of rows) {
    // As it is shown, so that 90.0% is not below 90.
    const confidence = parseFloat(row.querySelector(".confidence").textContent);
    const flags = row.dataset.flags.split(" ");
    row.hidden = !(
      (!group || row.dataset.group === group) &&
      (!flag || (flag === "any" ? flags[0] !== "none" : flags.includes(flag))) &&
      (!least || confidence >= Number(least)) &&
      (!most || confidence <= Number(most)) &&
      plain(row.querySelector(".file").dataset.sort).includes(text)
    );
  }
  const shown = visible().length;
  byId("count").value = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} slices`;
  byId("none").hidden = shown > 0;
}
for (const kind of ["input", "change"]) byId("filters").addEventListener(kind, applyFilters); // selects: some tools send only change
byId("filters").addEventListener("reset", () => setTimeout(applyFilters)); // once the fields are empty
byId("filters").addEventListener("submit", (event) => event.preventDefault());

// --- Dialog
const dialog = byId("dialog");
let current;
function show(row) {
  current = row;
  const all = visible(), position = all.indexOf(row);
  const image = dialog.querySelector("img");
  image.hidden = !pictureOf.get(row);
  if (!image.hidden) image.src = addressOf(row);
  image.alt = row.querySelector(".file").dataset.sort;
  dialog.querySelector("span").textContent = `${(position + 1).toLocaleString("en")} of ${all.length.toLocaleString("en")}`;
  // Not disabled in earnest: a disabled button that has the focus swallows the keys.
  byId("previous").ariaDisabled = position === 0;
  byId("next").ariaDisabled = position === all.length - 1;
  const details = [...row.cells].filter((cell) => !cell.matches(".image, :empty")).map((cell) => {
    const group = document.createElement("div"), term = document.createElement("dt"), value = document.createElement("dd");
    group.className = cell.classList[0];
    value.className = cell.matches(".share") ? "share" : "";
    value.style.setProperty("--share", cell.style.getPropertyValue("--share"));
    term.textContent = cell.dataset.label;
    value.append(...[...cell.childNodes].map((node) => node.cloneNode(true)));
    group.append(term, value);
    return group;
  });
  dialog.querySelector("dl").replaceChildren(...details);
}
function step(by) {
  const all = visible(), neighbour = all[all.indexOf(current) + by];
  if (neighbour) show(neighbour);
}
table.addEventListener("click", (event) => {
  const button = event.target.closest(".picture");
  if (!button) return;
  show(button.closest("tr"));
  dialog.showModal();
});
dialog.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  step(by);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); }); // beside its contents
dialog.addEventListener("close", () => current.querySelector(".picture").focus());
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => dialog.close());

applyFilters(); // a browser that goes back keeps what was filled in
