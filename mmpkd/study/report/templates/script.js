// Enlarges a map when it is clicked or chosen by keyboard; arrow keys show its neighbours, Escape closes.
(() => {
  const dialog = document.getElementById("enlarged");
  const buttons = [...document.querySelectorAll("button.enlarge")];
  if (!dialog || !buttons.length) return;
  const image = dialog.querySelector("img");
  const text = dialog.querySelector("p");
  let shown = 0;
  const show = (position) => {
    shown = (position + buttons.length) % buttons.length;
    const source = buttons[shown].querySelector("img");
    image.src = source.src;
    image.alt = source.alt;
    text.textContent = source.alt;
  };
  buttons.forEach((button, position) => {
    button.addEventListener("click", () => {
      show(position);
      dialog.showModal();
    });
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight") show(shown + 1);
    if (event.key === "ArrowLeft") show(shown - 1);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => buttons[shown].focus());
})();
