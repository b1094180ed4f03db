// What both pages draw with: colours by the joint's side, a canvas of the screen's pixels, a line.
const byId = (id) => document.getElementById(id);
const LEFT = "#1f77b4", RIGHT = "#d62728", GRID = "#d5d8de";

// Of a joint by its name; `trunk` for what is of neither side.
const sideColour = (name, trunk) => ({ l: LEFT, r: RIGHT })[name[0]] || trunk;

// [what draws on it, pixels a CSS pixel]; the canvas is empty, with as many pixels as on the screen.
function fresh(board) {
  const on = board.getContext("2d"), ratio = window.devicePixelRatio || 1;
  const wide = Math.round(board.clientWidth * ratio), high = Math.round(board.clientHeight * ratio);
  if (board.width !== wide || board.height !== high) { board.width = wide; board.height = high; }
  on.clearRect(0, 0, wide, high);
  on.lineCap = "round";
  return [on, ratio];
}

function line(on, a, b, style, width) {
  on.strokeStyle = style;
  on.lineWidth = width;
  on.beginPath();
  on.moveTo(a[0], a[1]);
  on.lineTo(b[0], b[1]);
  on.stroke();
}
