/* The built-in services that answer byte for byte: echo, discard, reverse; and the list of all. */
#include "worker/protocol/service.h"

#include <string.h>

#include "common/must.h"
#include "worker/protocol/http.h"

static void echo_answer(const struct service_state *state, const struct service_input *in,
	struct service_output *out_r)
{
	(void)state;
	service_output_clear(out_r);
	memcpy(out_r->bytes, in->bytes, in->len);
	out_r->len = in->len;
	out_r->consumed = in->len;
}

static void discard_answer(const struct service_state *state, const struct service_input *in,
	struct service_output *out_r)
{
	(void)state;
	service_output_clear(out_r);
	out_r->consumed = in->len;
}

static size_t reverse_line_end(const char *line, size_t len)
{
	size_t end = len;

	if (end > 0 && line[end - 1] == '\n') {
		end--;
		if (end > 0 && line[end - 1] == '\r')
			end--;
	}
	return end;
}

/* Each line is turned around in front of its newline. Bytes after the last newline are a chunk of their
 * own: who sends no newline gets what one read gave. */
static void reverse_answer(const struct service_state *state, const struct service_input *in,
	struct service_output *out_r)
{
	size_t at = 0;

	(void)state;
	service_output_clear(out_r);
	while (at < in->len) {
		const char *line = in->bytes + at;
		const char *newline = memchr(line, '\n', in->len - at);
		size_t len = newline != NULL ? (size_t)(newline - line) + 1 : in->len - at;
		size_t end = reverse_line_end(line, len);

		for (size_t i = 0; i < end; i++)
			out_r->bytes[at + i] = line[end - 1 - i];
		memcpy(out_r->bytes + at + end, line + end, len - end);
		at += len;
	}
	out_r->len = in->len;
	out_r->consumed = in->len;
}

static const struct service services[] = {
	[SERVICE_ECHO] = { .name = "echo", .answer = echo_answer },
	[SERVICE_REVERSE] = { .name = "reverse", .answer = reverse_answer },
	[SERVICE_DISCARD] = { .name = "discard", .answer = discard_answer },
	[SERVICE_HTTP] = { .name = "http", .answer = http_answer, .answered = http_answered },
};

const struct service *service_find(enum conf_service service)
{
	MUST((size_t)service < NELEMS(services));
	return services[service].name != NULL ? &services[service] : NULL;
}
