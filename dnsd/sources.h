/* The digest of the sources that a part was compiled from; setup.py defines it, dnsd/compiled.py looks for it in the
   compiled file. Each part includes this file. */

#ifndef DNSD_SOURCES
#define DNSD_SOURCES ""
#endif

#if defined(__GNUC__) || defined(__clang__)
__attribute__((used))
#endif
static const char compiled_sources[] = DNSD_SOURCES;
