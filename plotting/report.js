"use strict";
(() => {
  const form = document.getElementById("filter");
  const gallery = document.getElementById("gallery");
  const cards = [...gallery.children];
  const count = document.getElementById("count");

  const before = {
    worst: (a, b) => a.dataset.worst - b.dataset.worst,
    order: (a, b) => a.dataset.order - b.dataset.order || a.dataset.worst - b.dataset.worst,
    feature: (a, b) => a.dataset.feature.localeCompare(b.dataset.feature)
      || a.dataset.worst - b.dataset.worst,
  };

  function show() {
    const wanted = Object.fromEntries(new FormData(form));
    const name = wanted.name.trim().toLowerCase();
    let shown = 0;
    for (const card of cards) {
      const fits = ["region", "kind", "verdict"].every(
        (key) => !wanted[key] || card.dataset[key] === wanted[key])
        && card.dataset.feature.toLowerCase().includes(name);
      card.hidden = !fits;
      shown += fits;
    }
    gallery.append(...[...cards].sort(before[wanted.sort]));
    count.textContent = `${shown} of ${cards.length} pictures`;
  }
  form.addEventListener("input", show);
  show();

  const dialog = document.getElementById("large");
  const image = document.getElementById("large-image");
  const text = document.getElementById("large-text");
  let opener = null;

  // The pictures among which arrow keys step: those of the same list that are not filtered out.
  function neighbours() {
    const list = opener.closest("ul, .wall, section");
    return [...list.querySelectorAll(".enlarge")].filter((button) => !button.closest("[hidden]"));
  }

  function open(button) {
    opener = button;
    const small = button.querySelector("img");
    image.src = small.src;
    image.alt = small.alt;
    const about = button.parentElement.querySelector(".about, figcaption");
    text.textContent = about ? about.innerText.replace(/\s+/g, " ") : small.alt;
    if (!dialog.open) dialog.showModal();
  }

  function step(by) {
    const all = neighbours();
    const place = all.indexOf(opener);
    open(all[(place + by + all.length) % all.length]);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".enlarge");
    if (button) open(button);
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && button.dataset.step) step(Number(button.dataset.step));
    else if ((button && "close" in button.dataset) || event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      event.preventDefault();
      step(event.key === "ArrowLeft" ? -1 : 1);
    }
  });
  dialog.addEventListener("close", () => opener && opener.focus());
})();
