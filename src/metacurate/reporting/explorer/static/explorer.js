// All pages work without this: it adds search while one types, and keys.

const TYPING_PAUSE = 150; // milliseconds

function searchWhileTyping(form) {
  let timer = 0;
  let asked = null;

  async function search() {
    asked?.abort();
    asked = new AbortController();
    const { signal } = asked;
    const given = new URLSearchParams(new FormData(form));
    const address = `${form.action}?${given}`;
    try {
      const response = await fetch(address, { signal });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const found = page.getElementById("results") ?? page.querySelector("main");
      document.getElementById("results").replaceChildren(...found.childNodes);
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") {
        form.requestSubmit(); // the browser tells best what is wrong
      }
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, TYPING_PAUSE);
  });
  form.addEventListener("submit", () => clearTimeout(timer));
}

function follow(selector) {
  const link = document.querySelector(selector);
  link?.click();
  return link !== null;
}

function moveInRows(step) {
  const rows = [...document.querySelectorAll("main a.row")];
  const at = rows.indexOf(document.activeElement);
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step];
  next?.focus();
  next?.closest("tr, .pair")?.scrollIntoView({ block: "nearest" });
}

function goBack() {
  if (document.querySelector("main nav.pages a[rel=prev]") === null) {
    return;
  }
  // Pages of pairs are read on from a place: the one before is where the browser came from.
  const stays = document.body.dataset.came === "next";
  if (stays) {
    history.back();
  } else {
    follow("main nav.pages a[rel=prev]");
  }
}

const KEYS = {
  "/": () => {
    const field = document.querySelector("main input[type=search], main textarea");
    field?.focus();
    field?.select();
  },
  n: () => follow("main nav.pages a[rel=next]"),
  p: goBack,
  j: () => moveInRows(1),
  k: () => moveInRows(-1),
  i: () => follow("#images, .toggle"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) {
    return;
  }
  const writes = event.target.closest("input, textarea, select");
  if (event.key === "Escape") {
    writes?.blur();
  }
  if (writes === null && event.key in KEYS) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("nav.pages a[rel=next]");
  if (link !== null) {
    sessionStorage.setItem("next", link.href);
  }
});
if (sessionStorage.getItem("next") === location.href) {
  document.body.dataset.came = "next";
}

const form = document.getElementById("search");
if (form !== null) {
  searchWhileTyping(form);
}
