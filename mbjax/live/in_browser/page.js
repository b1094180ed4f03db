// Camera or video file to 3D in this page: nothing is sent anywhere. Once all is loaded the page forbids
// itself every connection, also to the server that it came from.
import * as ort from "./onnxruntime/ort.wasm.min.mjs";
import { loadAndCompile, loadLiteRt, Tensor } from "./litert/index.js";
import { BlazePose } from "./blazepose.js";
import { Follower, toJoints } from "./stream.js";

const LARGEST = 1280;  // pixels of the longer side of what is looked at
const USUAL_FPS = 15;  // until the rate is known
const say = (text) => { byId("state").textContent = text; };

// {settings, detector, landmarks, lift}: the nets as functions of arrays.
export const nets = load();
nets.then(() => {
  say("choose the camera, or a video file; nothing leaves this machine");
  byId("camera").disabled = byId("file").disabled = false;
}, (error) => say(`the page could not be loaded: ${error.message ?? error}`));

async function load() {
  say("loading the nets ...");
  const settings = await (await fetch("settings.json")).json();
  await loadLiteRt(new URL("litert/", document.baseURI).href);
  const [detector, landmarks] = [await tflite("pose_detection.tflite"), await tflite("pose_landmark_full.tflite")];
  ort.env.wasm.numThreads = 1;  // more need headers that simple servers do not send
  const session = await ort.InferenceSession.create("lifter.onnx", { executionProviders: ["wasm"] });
  const joints = settings.toJoints.length;
  const lift = async (x) => {
    const keypoints = new ort.Tensor("float32", x, [1, x.length / joints / 3, joints, 3]);
    return (await session.run({ keypoints })).pose.data;
  };
  await lift(new Float32Array(settings.window * joints * 3));  // the first run is slow
  const closed = document.createElement("meta");
  closed.httpEquiv = "Content-Security-Policy";
  closed.content = "connect-src 'none'";
  document.head.append(closed);
  return { settings, detector, landmarks, lift };
}

async function tflite(file) {
  const model = await loadAndCompile(file, { accelerator: "wasm" });
  const shape = Array.from(model.getInputDetails()[0].shape), names = model.getOutputDetails().map((one) => one.name);
  return async (image) => {
    const input = new Tensor(image, shape), outputs = await model.run([input]);
    const values = Object.fromEntries(outputs.map((one, i) => [names[i], one.toTypedArray().slice()]));
    for (const one of [input, ...outputs]) one.delete();
    return values;
  };
}

let turn = 0, stream = null;  // what is played now: an older loop ends where the number is no more its own

function stop() {
  turn++;
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  byId("stop").disabled = true;
}

async function play(video, ended) {
  const { settings, detector, landmarks, lift } = await nets, mine = ++turn;
  const person = new BlazePose(detector, landmarks), follower = new Follower(lift, settings);
  const canvas = document.createElement("canvas"), pen = canvas.getContext("2d", { willReadFrequently: true });
  let fps = 0, latency = 0, last = null;
  byId("stop").disabled = false;
  video.muted = true;
  await video.play();
  while (await nextPicture(video) && mine === turn) {
    const taken = performance.now(), scale = Math.min(1, LARGEST / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    pen.drawImage(video, 0, 0, canvas.width, canvas.height);
    const everybody = await person.find(pen.getImageData(0, 0, canvas.width, canvas.height));
    const found = await follower.push(everybody, fps || USUAL_FPS), now = performance.now();
    if (mine !== turn) return;
    latency = last === null ? now - taken : 0.8 * latency + 0.2 * (now - taken);
    if (last !== null) fps = fps ? 0.8 * fps + 0.2 * 1000 / (now - last) : 1000 / (now - last);
    last = now;
    const joints = found.person ? toJoints(found.person, settings) : [];
    const keypoints = joints.map((joint) => joint[2] > 0 ? joint.slice(0, 2) : null);
    show({ keypoints, pose: found.pose, persons: everybody.length, fps, latency_ms: Math.round(latency) }, canvas);
  }
  if (mine !== turn) return;
  stop();
  byId("state").textContent += `; ${ended}`;
}

// Whether there is one; false where the video is over.
function nextPicture(video) {
  const track = video.srcObject?.getTracks()[0];
  if (video.ended || track?.readyState === "ended") return false;
  return new Promise((resolve) => {
    const over = () => resolve(false);
    (track ?? video).addEventListener("ended", over, { once: true });
    video.requestVideoFrameCallback(() => {
      (track ?? video).removeEventListener("ended", over);
      resolve(true);
    });
  });
}

const NO_CAMERA = {
  NotFoundError: "there is no camera", NotAllowedError: "the browser was not allowed to use the camera",
  NotReadableError: "the camera cannot be used; in use by another program?",
};

byId("camera").onclick = async () => {
  stop();
  if (!navigator.mediaDevices) return say("browsers give cameras to pages of https or of localhost only");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } } });
    const video = document.createElement("video");
    video.srcObject = stream;
    await play(video, "the camera is gone");
  } catch (error) {
    stop();
    say(NO_CAMERA[error.name] ?? `the camera cannot be used (${error.message})`);
  }
};

byId("file").onchange = async (event) => {
  const [file] = event.target.files, video = document.createElement("video");
  if (!file) return;
  stop();
  video.playsInline = true;
  video.src = URL.createObjectURL(file);
  try {
    await play(video, "ended");
  } catch (error) {
    stop();
    say(video.error || error.name === "NotSupportedError" ? `this browser cannot play ${file.name}` : `${file.name}: ${error.message}`);
  } finally {
    URL.revokeObjectURL(video.src);
    event.target.value = "";
  }
};

byId("stop").onclick = () => {
  stop();
  say("stopped; choose the camera, or a video file");
};
