// Draws a picture with a person's joints, and the person in 3D, into the canvases of live.html.
//
// `show(event, picture)`: event has keypoints (17 of [x, y] or null, in pixels of the picture; [] for
// nobody), pose (17 of [x, y, z] in heights of the person from the root, x right, y down, z away; [] for
// nobody), persons, fps, latency_ms. picture: what a canvas can draw, with width and height.
"use strict";
__CANVAS__
const limbs = __LIMBS__, joints = __JOINTS__;
const colour = (joint) => sideColour(joints[joint], "#333");
const view = { yaw: -0.6, pitch: 0.2, zoom: 1 };
let newest = null, image = null;  // what was found in the picture, and the picture

function drawPicture() {
  const board = byId("picture"), [on, ratio] = fresh(board);
  if (!image) return;
  const scale = Math.min(board.width / image.width, board.height / image.height);
  const left = (board.width - image.width * scale) / 2, top = (board.height - image.height * scale) / 2;
  on.drawImage(image, left, top, image.width * scale, image.height * scale);
  const at = (j) => newest.keypoints[j] && [left + newest.keypoints[j][0] * scale, top + newest.keypoints[j][1] * scale];
  for (const [a, b] of newest.keypoints.length ? limbs : [])
    if (at(a) && at(b)) line(on, at(a), at(b), colour(b), 3 * ratio);
}

function drawView() {
  const board = byId("view"), [on, ratio] = fresh(board);
  const cy = Math.cos(view.yaw), sy = Math.sin(view.yaw), cp = Math.cos(view.pitch), sp = Math.sin(view.pitch);
  // Camera axes (y down, z away) to those of the page: y up, z towards the viewer.
  const project = ([x, y, z]) => {
    const across = cy * x - sy * z, towards = -cy * z - sy * x;
    const up = -cp * y - sp * towards, near = -sp * y + cp * towards;
    const scale = view.zoom * 0.75 * Math.min(board.width, board.height) * 3 / (3 - near);
    return [board.width / 2 + across * scale, board.height / 2 - up * scale, near];
  };
  for (let i = -3; i <= 3; i++) {
    line(on, project([i / 6, 0.5, -0.5]), project([i / 6, 0.5, 0.5]), GRID, ratio);
    line(on, project([-0.5, 0.5, i / 6]), project([0.5, 0.5, i / 6]), GRID, ratio);
  }
  if (!newest || !newest.pose.length) return;
  const at = newest.pose.map(project);
  const order = limbs.map(([a, b]) => [at[a], at[b], colour(b)]);
  order.sort((p, q) => p[0][2] + p[1][2] - q[0][2] - q[1][2]);
  for (const [a, b, style] of order) line(on, a, b, style, 5 * ratio);
}

function show(event, picture) {
  newest = event;
  image = picture;
  const who = event.pose.length ? "one person followed" : "nobody to be followed";
  byId("state").textContent = `${event.fps.toFixed(1)} pictures a second, ${event.latency_ms} ms from picture to pose, ` +
    `${event.persons} found, ${who}`;
  drawPicture();
  drawView();
}

let held = null;
const board = byId("view");
board.onpointerdown = (event) => { held = [event.clientX, event.clientY]; };
board.onpointermove = (event) => {
  if (!held) return;
  view.yaw += (event.clientX - held[0]) * 0.01;
  view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + (event.clientY - held[1]) * 0.01));
  held = [event.clientX, event.clientY];
  drawView();
};
window.onpointerup = () => { held = null; };
board.addEventListener("wheel", (event) => {
  event.preventDefault();
  view.zoom = Math.max(0.3, Math.min(5, view.zoom * Math.exp(-event.deltaY * 0.001)));
  drawView();
}, { passive: false });
window.onresize = () => { if (newest) drawPicture(); drawView(); };
drawView();
