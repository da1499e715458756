// A page that was opened as a file may load no scripts, whatever its browser: say so, since nothing else can.
if (location.protocol === "file:") {
  document.getElementById("signature").textContent = "This page wants a web server.";
  document.getElementById("figures").textContent = "In its folder: python -m http.server, then http://localhost:8000";
}
