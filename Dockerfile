FROM denoland/deno:2.9.6

WORKDIR /app
RUN chown deno:deno /app
USER deno

# Dependencies first: they change less often than the code.
COPY --chown=deno:deno deno.json deno.lock ./
COPY --chown=deno:deno src/dashboard/deno.json src/dashboard/
RUN deno install --frozen

COPY --chown=deno:deno migrations migrations
COPY --chown=deno:deno src src

ENV MAILFLEET_HOST=0.0.0.0 MAILFLEET_PORT=8080
EXPOSE 8080

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["deno", "eval", "const { ok } = await fetch('http://127.0.0.1:8080/health/ready'); Deno.exit(ok ? 0 : 1)"]

# With no more rights than the settings ask for.
CMD ["sh", "-c", "exec deno run --cached-only $(deno run --cached-only --allow-env --allow-net --allow-read --allow-sys src/main.ts permissions --webhooks) src/main.ts serve"]
