"use strict";
/* The listed items, page by page: each image with the maps of both arms and their scores. */
const makeGallery = (study, scores, model, selection, painting, actions) => {
  const { view } = model, { $, element, number, signed, percent } = Dom, PER_PAGE = 12, THUMB = 96;

  const thumbnail = (i, run) => {
    const canvas = element("canvas", { width: THUMB, height: Math.round((THUMB * study.H) / study.W) });
    canvas.setAttribute("aria-hidden", "true");
    const entry = painting.pictureOf(model.unit().imageOf(i)), context = canvas.getContext("2d");
    const draw = () => painting.paint(context, THUMB, i, { run, isSmall: true });
    if (entry.bitmap) draw();
    else entry.ready.then(draw);
    return canvas;
  };

  const card = (i) => {
    const [a, b] = [model.iou(view.reference, i), model.iou(view.arm, i)], maps = model.shownArms().map((arm) => thumbnail(i, model.shownRun(arm) ?? null));
    const text = `${number(a)} → ${number(b)}, ${signed(b - a)}`;
    const made = element(
      "button", { className: "card", type: "button" }, element("span", { className: "maps" }, ...maps),
      element("span", { className: "name", textContent: model.title(i) }), element("span", { textContent: text }),
      element("span", { className: "soft id", textContent: `${percent(model.area(i))}, ${model.nameOf(i)}` }),
    );
    if (i === view.item) made.setAttribute("aria-current", "true");
    made.addEventListener("click", () => actions.open(i));
    return made;
  };

  const show = () => {
    const { items } = selection.found, pages = Math.max(1, Math.ceil(items.length / PER_PAGE)), hadFocus = $("cards").contains(document.activeElement);
    view.page = Math.min(Math.max(0, view.page), pages - 1);
    $("cards").replaceChildren(...items.slice(view.page * PER_PAGE, (view.page + 1) * PER_PAGE).map(card));
    if (hadFocus) $("cards").querySelector("[aria-current]")?.focus();
    $("page").textContent = `page ${view.page + 1} of ${pages}`;
    $("page-back").disabled = view.page === 0;
    $("page-on").disabled = view.page >= pages - 1;
  };
  const turnTo = (position) => {
    if (position >= 0) view.page = Math.floor(position / PER_PAGE);
  };
  const turn = (by) => {
    view.page += by;
    show();
  };
  return { show, turnTo, turn };
};
