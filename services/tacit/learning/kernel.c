/* Margins and per-unit integer sums of the additive learner, with the bits of the NumPy path.

   Only + - * / on doubles, each rounded once, in the order of learning/basis.py, learning/sigmoid.py and
   learning/statistics.py. Compile without contraction and without fast math: -ffp-contract=off. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__) || (defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0)
#error "needs plain double arithmetic"
#endif

enum { BINS = 256, CHUNK = 512, TERMS = 13 };

static const double LIMIT = 700.0;
static const double LOG2_E = 1.4426950408889634;
static const double LN2_HIGH = 0x1.62e42feep-1;
static const double LN2_LOW = 0x1.a39ef35793c76p-33;
/* Adding 1.5 x 2^52 rounds |x| < 2^51 to a whole number, ties to even, as rint does; its low bits hold the number. */
static const double ROUNDER = 6755399441055744.0;

typedef struct {
  int32_t columns[2];  /* the second is -1 for one column */
  int32_t first;       /* position of the table's cell 0 */
  int32_t groups[2][BINS];
} tacit_table;

typedef struct {
  int32_t table;     /* whose cells are looked up */
  int32_t function;  /* position in the basis */
  int32_t values;    /* position of the dense values, cell by cell */
} tacit_dense;

typedef struct {
  int32_t table;
  int32_t width;     /* entries of every cell */
  int32_t entries;   /* position of the first entry, cell by cell */
} tacit_sparse;

static const uint64_t ROUNDER_BITS = UINT64_C(0x4338000000000000);

/* The whole number nearest x, plus ROUNDER_BITS, modulo 2^64. */
static uint64_t shifted(double x) {
  double moved = x + ROUNDER;
  uint64_t bits;
  memcpy(&bits, &moved, sizeof bits);
  return bits;
}

/* Cells of rows in a table of two columns; in a table of one column a row's cell is its bin. */
static void plane_cells(const tacit_table *table, const uint8_t *bins, int64_t stride, int64_t rows, int32_t *cells) {
  const uint8_t *left = bins + table->columns[0] * stride, *right = bins + table->columns[1] * stride;
  for (int64_t i = 0; i < rows; i++) cells[i] = table->groups[0][left[i]] + table->groups[1][right[i]];
}

/* out[i] = intercept + the tables' values of row i, added in the order of the tables. */
void tacit_margins(const uint8_t *bins, int64_t stride, int64_t rows, const tacit_table *tables, int32_t count,
                   const double *values, double intercept, double *out) {
  int32_t cells[CHUNK];
  for (int64_t start = 0; start < rows; start += CHUNK) {
    int64_t part = rows - start < CHUNK ? rows - start : CHUNK;
    double *sums = out + start;
    for (int64_t i = 0; i < part; i++) sums[i] = intercept;
    for (int32_t t = 0; t < count; t++) {
      const double *table = values + tables[t].first;
      if (tables[t].columns[1] < 0) {
        const uint8_t *bin = bins + start + tables[t].columns[0] * stride;
        for (int64_t i = 0; i < part; i++) sums[i] += table[bin[i]];
      } else {
        plane_cells(&tables[t], bins + start, stride, part, cells);
        for (int64_t i = 0; i < part; i++) sums[i] += table[cells[i]];
      }
    }
  }
}

static void sigmoids(const double *margins, int64_t rows, const double *factorials, double *p) {
  double rest[CHUNK], total[CHUNK];
  uint64_t powers[CHUNK];
  for (int64_t i = 0; i < rows; i++) {
    double x = -fabs(margins[i]);
    x = x < -LIMIT ? -LIMIT : x;
    double moved = x * LOG2_E + ROUNDER, k = moved - ROUNDER;
    /* 2^k with k in [-1010, 0]: a normal number, so the product below is exact, as ldexp is. */
    powers[i] = (shifted(x * LOG2_E) - ROUNDER_BITS + 1023) << 52;
    double r = x - k * LN2_HIGH;
    rest[i] = r - k * LN2_LOW;
    total[i] = factorials[0];
  }
  for (int term = 1; term <= TERMS; term++) {
    double factor = factorials[term];
    for (int64_t i = 0; i < rows; i++) total[i] = total[i] * rest[i] + factor;
  }
  for (int64_t i = 0; i < rows; i++) {
    double scale;
    memcpy(&scale, &powers[i], sizeof scale);
    double small = total[i] * scale;
    p[i] = (margins[i] >= 0.0 ? 1.0 : small) / (1.0 + small);
  }
}

static void slopes(const double *margins, const uint8_t *labels, int64_t rows, const double *factorials, int square,
                   double scale, double *out) {
  sigmoids(margins, rows, factorials, out);
  if (square) {
    for (int64_t i = 0; i < rows; i++) out[i] = out[i] * (1.0 - out[i]) * scale;
  } else {
    for (int64_t i = 0; i < rows; i++) out[i] = (out[i] - (double)labels[i]) * scale;
  }
}

typedef struct {
  const tacit_table *tables;
  const tacit_dense *dense;
  int32_t dense_count;
  const double *values;
  const tacit_sparse *sparse;
  int32_t sparse_count;
  const int32_t *functions;
  const double *entries;
  double intercept;
  int64_t size;
} terms;

/* Sum of rounded values x slopes: every term and the result carry ROUNDER_BITS, taken off at the end. */
static int64_t dense_sum(const double *table, const uint8_t *bin, const int32_t *cell, const double *slope,
                         int64_t rows) {
  uint64_t sum = 0;
  if (bin) {
    for (int64_t i = 0; i < rows; i++) sum += shifted(table[bin[i]] * slope[i]);
  } else {
    for (int64_t i = 0; i < rows; i++) sum += shifted(table[cell[i]] * slope[i]);
  }
  return (int64_t)(sum - (uint64_t)rows * ROUNDER_BITS);
}

/* Adds rows [0, rows) of one segment to its sums. */
static void add_segment(const terms *t, const uint8_t *bins, int64_t stride, const int32_t *cells, const double *slope,
                        int64_t rows, int64_t *sums) {
  for (int32_t d = 0; d < t->dense_count; d++) {
    const tacit_table *table = &t->tables[t->dense[d].table];
    const uint8_t *bin = table->columns[1] < 0 ? bins + table->columns[0] * stride : NULL;
    const int32_t *cell = cells + (int64_t)t->dense[d].table * CHUNK;
    sums[t->dense[d].function] += dense_sum(t->values + t->dense[d].values, bin, cell, slope, rows);
  }
  for (int32_t s = 0; s < t->sparse_count; s++) {
    const tacit_table *table = &t->tables[t->sparse[s].table];
    const uint8_t *bin = table->columns[1] < 0 ? bins + table->columns[0] * stride : NULL;
    const int32_t *cell = cells + (int64_t)t->sparse[s].table * CHUNK;
    int32_t width = t->sparse[s].width;
    for (int64_t i = 0; i < rows; i++) {
      int64_t entry = t->sparse[s].entries + (int64_t)width * (bin ? bin[i] : cell[i]);
      for (int32_t e = 0; e < width; e++)
        sums[t->functions[entry + e]] += (int64_t)(shifted(t->entries[entry + e] * slope[i]) - ROUNDER_BITS);
    }
  }
  uint64_t sum = 0;
  for (int64_t i = 0; i < rows; i++) sum += shifted(slope[i] * t->intercept);
  sums[t->size - 1] += (int64_t)(sum - (uint64_t)rows * ROUNDER_BITS);
}

/* out (segments x size, zeros) += sums over rows [cuts[s], cuts[s + 1]) of every function times the row's slope,
   rounded row by row. work holds table_count x CHUNK cells. */
void tacit_sums(const uint8_t *bins, int64_t stride, int64_t rows, const uint8_t *labels, const double *margins,
                const tacit_table *tables, int32_t table_count, const tacit_dense *dense, int32_t dense_count,
                const double *values, const tacit_sparse *sparse, int32_t sparse_count, const int32_t *functions,
                const double *entries, const double *factorials, int32_t square, double scale, double intercept,
                int64_t size, const int64_t *cuts, int64_t segments, int32_t *work, int64_t *out) {
  const terms all = {tables, dense, dense_count, values, sparse, sparse_count, functions, entries, intercept, size};
  double slope[CHUNK];
  int64_t segment = 0;
  for (int64_t start = 0; start < rows; start += CHUNK) {
    int64_t end = rows - start < CHUNK ? rows : start + CHUNK;
    slopes(margins + start, labels + start, end - start, factorials, square, scale, slope);
    for (int32_t t = 0; t < table_count; t++)
      if (tables[t].columns[1] >= 0) plane_cells(&tables[t], bins + start, stride, end - start, work + t * CHUNK);
    for (int64_t row = start; row < end;) {
      while (segment + 1 < segments && cuts[segment + 1] <= row) segment++;
      int64_t stop = segment + 1 < segments && cuts[segment + 1] < end ? cuts[segment + 1] : end;
      add_segment(&all, bins + row, stride, work + (row - start), slope + (row - start), stop - row,
                  out + segment * size);
      row = stop;
    }
  }
}
