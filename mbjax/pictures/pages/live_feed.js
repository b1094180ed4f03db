// What `mbjax live` sends, as it comes.
const feed = new EventSource("events");
feed.onmessage = (message) => {
  const event = JSON.parse(message.data), picture = new Image();
  picture.onload = () => show(event, picture);
  picture.src = "data:image/jpeg;base64," + event.jpeg;
};
feed.addEventListener("end", () => { feed.close(); byId("state").textContent += "; ended"; });
