"use strict";
(() => {
  const form = document.getElementById("filter");
  const gallery = document.getElementById("gallery");
  const cards = [...gallery.children];
  const constant = document.getElementById("constant");
  const names = constant ? [...constant.querySelectorAll("li")] : [];
  const count = document.getElementById("count");

  const before = {
    worst: (a, b) => a.dataset.worst - b.dataset.worst,
    order: (a, b) => a.dataset.order - b.dataset.order || a.dataset.worst - b.dataset.worst,
    feature: (a, b) => a.dataset.feature.localeCompare(b.dataset.feature)
      || a.dataset.worst - b.dataset.worst,
  };

  // Hide those that the filters exclude; returns how many are left.
  function sift(items, wanted) {
    const name = wanted.name.trim().toLowerCase();
    let left = 0;
    for (const item of items) {
      const fits = ["region", "kind", "verdict"].every(
        (key) => !wanted[key] || item.dataset[key] === wanted[key])
        && item.dataset.feature.toLowerCase().includes(name);
      item.hidden = !fits;
      left += fits;
    }
    return left;
  }

  function show() {
    const wanted = Object.fromEntries(new FormData(form));
    const left = sift(cards, wanted);
    gallery.append(...[...cards].sort(before[wanted.sort]));
    count.textContent = `${left} of ${cards.length} pictures`;
    if (!constant) return;
    const others = sift(names, wanted);
    if (others < names.length) count.textContent += `, ${others} constant features`;
    constant.hidden = others === 0;
    constant.open = constant.open || (left === 0 && others > 0);
  }

  // The address holds filters, order and the picture that is enlarged.
  const plain = Object.fromEntries(new FormData(form));

  function remember(how, picture) {
    const address = new URL(location.href);
    for (const [key, value] of new FormData(form)) {
      if (value === plain[key]) address.searchParams.delete(key);
      else address.searchParams.set(key, value);
    }
    if (picture) address.searchParams.set("picture", picture);
    else address.searchParams.delete("picture");
    try {
      history[how]({ opened: how === "pushState" || Boolean(history.state?.opened) }, "", address);
    } catch {
      // A page from a file may not change its address everywhere.
    }
  }

  form.addEventListener("input", () => {
    show();
    remember("replaceState");
  });

  const dialog = document.getElementById("large");
  const frame = document.getElementById("large-frame");
  const image = document.getElementById("large-image");
  const text = document.getElementById("large-text");
  const note = document.getElementById("large-note");
  const links = document.getElementById("large-links");
  let opener = null;
  let zoom = 1;

  const nameOf = (link) => decodeURIComponent(link.getAttribute("href")).slice(6, -4);

  // The pictures among which arrow keys step: those of the same list that are not filtered out.
  function neighbours() {
    const list = opener.closest("ul, .wall, section");
    return [...list.querySelectorAll(".enlarge")].filter((link) => !link.closest("[hidden]"));
  }

  // Fit the picture into the frame, `zoom` times enlarged; the point (x, y) of the frame stays.
  function scale(to, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
    to = Math.min(Math.max(to, 1), 16);
    const small = opener.querySelector("img");
    const shape = small.width / small.height;
    const width = Math.min(frame.clientWidth, frame.clientHeight * shape) * to;
    const box = image.getBoundingClientRect();
    const around = frame.getBoundingClientRect();
    const part = [(around.left + x - box.left) / box.width, (around.top + y - box.top) / box.height];
    image.style.width = `${width}px`;
    image.style.height = `${width / shape}px`;
    zoom = to;
    const moved = image.getBoundingClientRect();
    frame.scrollLeft += moved.left + part[0] * moved.width - around.left - x;
    frame.scrollTop += moved.top + part[1] * moved.height - around.top - y;
  }

  function enlarge(link) {
    opener = link;
    const small = link.querySelector("img");
    note.textContent = "";
    links.hidden = false;
    image.onerror = () => {
      image.onerror = null;
      image.src = small.src;
      links.hidden = true;
      note.textContent = `Only the small picture is here: ${link.getAttribute("href")} is not beside this page.`;
      scale(1);
    };
    image.src = link.href;
    image.alt = small.alt;
    document.getElementById("large-pdf").href = link.dataset.pdf;
    const numbers = document.getElementById("large-csv");
    numbers.hidden = !link.dataset.csv;
    if (link.dataset.csv) numbers.href = link.dataset.csv;
    const about = link.parentElement.querySelector(".about, figcaption");
    text.textContent = about ? about.innerText.replace(/\s+/g, " ") : small.alt;
    if (!dialog.open) dialog.showModal();
    frame.scrollTo(0, 0);
    scale(1);
  }

  function step(by) {
    const all = neighbours();
    const place = all.indexOf(opener);
    enlarge(all[(place + by + all.length) % all.length]);
    remember("replaceState", nameOf(opener));
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest(".enlarge");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    enlarge(link);
    remember("pushState", nameOf(link));
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) {
      if (event.target === dialog) dialog.close();
    } else if (button.dataset.step) step(Number(button.dataset.step));
    else if (button.dataset.zoom) scale(zoom * Number(button.dataset.zoom));
    else dialog.close();
  });
  const moves = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = moves[event.key];
    if (move && zoom > 1) frame.scrollBy(...move);
    else if (move && move[0]) step(Math.sign(move[0]));
    else if (event.key === "+" || event.key === "=") scale(zoom * 1.25);
    else if (event.key === "-") scale(zoom * 0.8);
    else if (event.key === "0") scale(1);
    else return;
    event.preventDefault();
  });
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const around = frame.getBoundingClientRect();
    scale(zoom * 1.0015 ** -event.deltaY, event.clientX - around.left, event.clientY - around.top);
  }, { passive: false });
  let drag = null;
  frame.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.target === image) drag = event.pointerId;
  });
  addEventListener("pointermove", (event) => {
    if (event.pointerId === drag) frame.scrollBy(-event.movementX, -event.movementY);
  });
  addEventListener("pointerup", () => { drag = null; });
  image.addEventListener("dragstart", (event) => event.preventDefault());
  addEventListener("resize", () => dialog.open && scale(zoom));
  dialog.addEventListener("close", () => {
    opener.focus();
    if (!new URL(location.href).searchParams.has("picture")) return;
    // Where a click has opened it, the way back is the one of the browser.
    if (history.state?.opened) history.back();
    else remember("replaceState");
  });

  // Show what the address says.
  function restore() {
    const wanted = new URL(location.href).searchParams;
    for (const [key, value] of Object.entries(plain)) {
      const field = form.elements[key];
      field.value = wanted.get(key) ?? value;
      if (field.selectedIndex === -1) field.value = value;
    }
    show();
    const picture = wanted.get("picture");
    const link = picture
      && [...document.querySelectorAll(".enlarge")].find((one) => nameOf(one) === picture);
    if (link) enlarge(link);
    else if (dialog.open) dialog.close();
  }
  addEventListener("popstate", restore);
  restore();
})();
