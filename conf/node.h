/* The nodes of the YAML document: what they are, what they say, where they stand. A document may hold a
 * node in several places (aliases), even within itself; readers go no deeper than the key table does.
 */
#ifndef PROXYD_CONF_NODE_H
#define PROXYD_CONF_NODE_H

#include <stdbool.h>
#include <yaml.h>

#include "conf/conf.h"
#include "conf/draft.h"

/* What is being read, and into what. All borrowed. */
struct source {
	const char *name; /* of the file; in the draft's arena */
	bool positions;   /* false: it was generated, its lines mean nothing to anybody */
	yaml_document_t *document;
	struct draft *draft;
};

struct conf_mark node_mark(const struct source *source, const yaml_node_t *node);
struct conf_mark source_mark(const struct source *source, const yaml_mark_t *at);

/* "a list", "a map", "empty", or the quoted text: the end of "..., not ". */
const char *node_what(const struct source *source, const yaml_node_t *node);

bool node_is_null(const yaml_node_t *node);

/* The text of a scalar; NULL when it is none, is null, holds a 0 byte or has a tag of its own. */
const char *node_text(const yaml_node_t *node);
bool node_is_quoted(const yaml_node_t *node);

yaml_node_t *node_at(const struct source *source, int index);

/* The text of a key; NULL, and the problem said, when a key cannot be that. */
const char *node_key(const struct source *source, int index);

#endif
