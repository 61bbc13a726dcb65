// One picture from the camera.

const PROBLEMS = {
  NotFoundError: "No camera was found: choose a picture file instead.",
  NotAllowedError: "The camera may not be used: allow it in the browser, or choose a file instead.",
  NotReadableError: "The camera is in use elsewhere: close the other program, or choose a file.",
};

/** Show the camera in a video element. Throws an Error whose message says what to do. */
export async function startCamera(video) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the camera only to https pages: choose a picture file instead.");
  }
  let stream;
  try {
    const wanted = { facingMode: "environment" };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
    stopCamera(video); // what an earlier press has got
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    if (stream && video.srcObject !== stream) return; // a later press has taken its place
    stopCamera(video);
    throw new Error(PROBLEMS[error.name] || "The camera did not start: choose a file instead.");
  }
}

/** What the video shows, as a PNG blob. */
export function takePicture(video) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Let go of the camera, so that its light goes out. */
export function stopCamera(video) {
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}
