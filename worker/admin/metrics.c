/* A scrape: all numbers are collected, then written metric by metric, in portions. What it costs is bounded by what the
 * configuration has.
 */
#include <event2/buffer.h>
#include <stdlib.h>

#include "common/shm.h"
#include "worker/admin/metrics.h"
#include "worker/admin/page.h"

/* One value of the metric that it is at. */
static void metrics_step(struct metrics *metrics, struct evbuffer *out)
{
	const struct metric *metric = &metrics_table[metrics->metric];

	if (metrics->index == metrics->counts[metric->of]) {
		metrics->index = 0;
		metrics->metric++;
		return;
	}
	if (metrics->index == 0)
		metric_head(metric, out);
	metric->add(metrics, metric, metrics->index++, out);
}

static int metrics_more(struct source *source, struct evbuffer *out)
{
	struct metrics *metrics = (struct metrics *)(void *)source; /* its first member */

	if (metrics->collecting != METRIC_OF)
		return metrics_collect(metrics) ? 1 : -1;
	while (metrics->metric < metrics_count) {
		metrics_step(metrics, out);
		if (evbuffer_get_length(out) >= SOURCE_PORTION)
			return 1;
	}
	return 0;
}

static void metrics_free(struct source *source)
{
	struct metrics *metrics = (struct metrics *)(void *)source;

	free(metrics->frontends);
	free(metrics->backends);
	free(metrics->servers);
	free(metrics->processes);
	free(metrics);
}

void page_metrics(struct admin *admin, struct evhttp_request *request)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (metrics != NULL) {
		metrics->source = (struct source){ metrics_more, metrics_free };
		metrics->admin = admin;
		metrics->shm = admin->child->shm;
	}
	body_source(request, "text/plain; version=0.0.4; charset=utf-8",
		metrics != NULL ? &metrics->source : NULL);
}
