/* The text format of Prometheus, version 0.0.4.
 */
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "worker/admin/metrics.h"

#define METRIC_NAME_MAX 96

void metric_head(const struct metric *metric, struct evbuffer *out)
{
	evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
		metric->name, metric->type);
}

/* A name may hold what it likes: backslash, quote and newline are escaped. */
static void metric_escape(struct evbuffer *out, const char *text)
{
	while (*text != '\0') {
		const size_t plain = strcspn(text, "\\\"\n");

		evbuffer_add(out, text, plain);
		text += plain;
		if (*text == '\0')
			return;
		evbuffer_add(out, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\", 2);
		text++;
	}
}

static void metric_name(struct evbuffer *out, const char *name, const struct metric_label *labels)
{
	bool any = false;

	evbuffer_add(out, name, strlen(name));
	for (; labels != NULL && labels->name != NULL; labels++) {
		evbuffer_add_printf(out, "%s%s=\"", any ? "," : "{", labels->name);
		metric_escape(out, labels->value);
		evbuffer_add(out, "\"", 1);
		any = true;
	}
	evbuffer_add(out, any ? "} " : " ", any ? 2 : 1);
}

void metric_count(
	struct evbuffer *out, const char *name, const struct metric_label *labels, uint64_t value)
{
	metric_name(out, name, labels);
	evbuffer_add_printf(out, "%" PRIu64 "\n", value);
}

void metric_ms(
	struct evbuffer *out, const char *name, const struct metric_label *labels, uint64_t ms)
{
	metric_name(out, name, labels);
	evbuffer_add_printf(out, "%" PRIu64 ".%03" PRIu64 "\n", ms / 1000, ms % 1000);
}

/* All that is certainly no longer than this: a bucket that goes beyond it counts for the next one. */
static uint64_t histogram_below(
	const struct histogram *histogram, uint64_t bound_us, unsigned *next)
{
	uint64_t n = 0;

	while (*next < HISTOGRAM_BUCKETS - 1 &&
		histogram_bucket_start_us(*next + 1) <= bound_us + 1)
		n += histogram->buckets[(*next)++];
	return n;
}

void metric_histogram(struct evbuffer *out, const char *name, const struct metric_label *label,
	const struct histogram *histogram, const uint64_t *bounds_us, size_t nbounds)
{
	char bucket_name[METRIC_NAME_MAX];
	char bound[32];
	const struct metric_label labels[] = { *label, { "le", bound }, { NULL, NULL } };
	const struct metric_label own[] = { *label, { NULL, NULL } };
	uint64_t count = 0;
	unsigned next = 0;

	snprintf(bucket_name, sizeof(bucket_name), "%s_bucket", name);
	for (size_t i = 0; i < nbounds; i++) {
		snprintf(bound, sizeof(bound), "%g", (double)bounds_us[i] / 1e6);
		count += histogram_below(histogram, bounds_us[i], &next);
		metric_count(out, bucket_name, labels, count);
	}
	while (next < HISTOGRAM_BUCKETS)
		count += histogram->buckets[next++];
	snprintf(bound, sizeof(bound), "+Inf");
	metric_count(out, bucket_name, labels, count);
	snprintf(bucket_name, sizeof(bucket_name), "%s_sum", name);
	metric_name(out, bucket_name, own);
	evbuffer_add_printf(out, "%" PRIu64 ".%06" PRIu64 "\n", histogram->sum_us / 1000000,
		histogram->sum_us % 1000000);
	snprintf(bucket_name, sizeof(bucket_name), "%s_count", name);
	metric_count(out, bucket_name, own, count);
}
