"use strict";
const form = document.querySelector("form"), said = form.querySelector("output");
const lower = (nodes) => [...nodes].map((node) => node.textContent.toLowerCase()).join("\n");
const number = (node, shown, all) => { if (node) node.textContent = shown === all ? all : `${shown} of ${all}`; };

// What is found is an interaction of a group, or a group of one; its group's text counts as its own.
const groups = [...document.querySelectorAll("article")].map((element) => {
  const members = element.querySelectorAll("li[data-file]"), list = element.querySelector("details");
  const own = members.length ? lower(element.querySelectorAll(".said")) : "";
  const items = [...(members.length ? members : [element])].map((item) => (
    { item, text: `${own}\n${lower([item])}`, is: { ...element.dataset, ...item.dataset } }));
  return { element, items, list, folded: list && !list.open };
});
const sections = [...document.querySelectorAll("#changes > section")].map((element) => (
  { element, groups: groups.filter((group) => group.element.parentElement === element) }));
const total = groups.reduce((sum, group) => sum + group.items.length, 0);

function narrow() {
  const terms = form.search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...form.querySelectorAll("select")].filter((each) => each.value).map((each) => [each.name, each.value]);
  const fits = ({ text, is }) => wanted.every(([name, value]) => is[name].split(" ").includes(value))
    && terms.every((term) => text.includes(term));
  let all = 0;
  for (const section of sections) {
    let here = 0, members = 0;
    for (const { element, items, list, folded } of section.groups) {
      let shown = 0;
      for (const each of items) {
        const fitting = fits(each);
        each.item.hidden = !fitting;
        shown += fitting;
      }
      element.hidden = !shown;
      number(element.querySelector(".count"), shown, items.length);
      if (list) list.open = shown < items.length ? shown <= 50 : !folded;
      here += shown;
      members += items.length;
    }
    section.element.hidden = !here;
    number(section.element.querySelector("h2 .count"), here, members);
    all += here;
  }
  said.textContent = all === total ? `${total} changes` : `${all} of ${total} changes shown`;
}

let soon = 0;
form.addEventListener("input", () => { clearTimeout(soon); soon = setTimeout(narrow, 100); });
form.addEventListener("reset", () => { clearTimeout(soon); soon = setTimeout(narrow); });
form.addEventListener("submit", (event) => event.preventDefault());
for (const button of form.querySelectorAll("[type=button]")) {
  button.addEventListener("click", () => { for (const { list } of groups) if (list) list.open = !!button.value; });
}
form.hidden = false;
