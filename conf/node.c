/* Questions about nodes of the YAML document.
 */
#include "conf/node.h"

#include <string.h>

#include "conf/arena.h"

struct conf_mark source_mark(const struct source *source, const yaml_mark_t *at)
{
	struct conf_mark mark = { .file = source->name };

	if (source->positions) {
		mark.line = (uint32_t)at->line + 1;
		mark.column = (uint32_t)at->column + 1;
	}
	return mark;
}

struct conf_mark node_mark(const struct source *source, const yaml_node_t *node)
{
	return source_mark(source, &node->start_mark);
}

static const char *scalar_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

bool node_is_quoted(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
}

bool node_is_null(const yaml_node_t *node)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };

	if (node->type != YAML_SCALAR_NODE || node_is_quoted(node))
		return false;
	for (size_t i = 0; i < NELEMS(nulls); i++)
		if (strcmp(scalar_text(node), nulls[i]) == 0)
			return true;
	return false;
}

/* !include and the like: what somebody's own tools know is not known here. */
static bool has_own_tag(const yaml_node_t *node)
{
	static const char standard[] = "tag:yaml.org,2002:";

	return node->tag != NULL &&
		strncmp((const char *)node->tag, standard, strlen(standard)) != 0;
}

const char *node_what(const struct source *source, const yaml_node_t *node)
{
	struct arena *scratch = source->draft->scratch;

	if (has_own_tag(node))
		return arena_printf(scratch, "something with the tag %s",
			quote_text(scratch, (const char *)node->tag));
	if (node_is_null(node))
		return "empty";
	switch (node->type) {
	case YAML_SEQUENCE_NODE:
		return node->data.sequence.items.start == node->data.sequence.items.top
			? "an empty list"
			: "a list";
	case YAML_MAPPING_NODE:
		return node->data.mapping.pairs.start == node->data.mapping.pairs.top
			? "an empty map"
			: "a map";
	case YAML_SCALAR_NODE:
	case YAML_NO_NODE:
		break;
	}
	if (node->data.scalar.length != strlen(scalar_text(node)))
		return "a text with a 0 byte";
	return quote_text(scratch, scalar_text(node));
}

const char *node_text(const yaml_node_t *node)
{
	if (node->type != YAML_SCALAR_NODE || node_is_null(node) || has_own_tag(node) ||
		node->data.scalar.length != strlen(scalar_text(node)))
		return NULL;
	return scalar_text(node);
}

yaml_node_t *node_at(const struct source *source, int index)
{
	yaml_node_t *node = yaml_document_get_node(source->document, index);

	MUST(node != NULL);
	return node;
}

const char *node_key(const struct source *source, int index)
{
	const yaml_node_t *node = node_at(source, index);
	struct problems *problems = &source->draft->problems;
	struct conf_mark mark = node_mark(source, node);

	if (node->type != YAML_SCALAR_NODE || has_own_tag(node) ||
		node->data.scalar.length != strlen(scalar_text(node))) {
		problem_add(
			problems, &mark, "a key is a plain text, not %s", node_what(source, node));
		return NULL;
	}
	if (strcmp(scalar_text(node), "<<") == 0 && !node_is_quoted(node)) {
		problem_add(problems, &mark,
			"merge keys (`<<`) are not taken: write the keys out, or put them into `defaults`");
		return NULL;
	}
	return scalar_text(node);
}
