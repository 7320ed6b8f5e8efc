/* Sections of the page that fill a file of their own. */
#pragma once

#include "diag/facts.h"
#include "diag/page.h"

void render_consumes(struct page *p, const struct facts *f);
void render_files(struct page *p, const struct facts *f);
