// The documentation of the API, drawn by Swagger UI from the service's own description.

const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
document.documentElement.classList.toggle("dark-mode", prefersDark);

globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [globalThis.SwaggerUIBundle.presets.apis],
});
