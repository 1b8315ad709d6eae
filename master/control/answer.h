/* A view on its way to a client, in portions of a bounded size.
 */
#ifndef PROXYD_MASTER_CONTROL_ANSWER_H
#define PROXYD_MASTER_CONTROL_ANSWER_H

#include "common/must.h"
#include "master/views/views.h"

struct answer;
struct evbuffer;
struct table_style;

/* view and source are borrowed; style NULL: JSON. Returns NULL without memory. */
MUST_USE struct answer *answer_new(
	const struct view *view, const struct view_source *source, const struct table_style *style);
void answer_free(struct answer *answer); /* NULL is fine */

/* Add one portion to out, of some 64 KiB at most; perhaps nothing. Returns 1 when there is more to come, 0 at the
 * end, -1 without memory. */
MUST_USE int answer_more(struct answer *answer, struct evbuffer *out);

#endif
