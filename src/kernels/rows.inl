// Row kernels, written once over the vectors of vec_<isa>.h; included inside an instruction set's
// namespace.

// The last vector of n values may be short: load_tail and store_tail touch only what is there.
#define FOR_VECTORS(i, n) for (int64_t i = 0; i < (n); i += kLanes)

VEC_FN int lanes_left(int64_t i, int64_t n) {
  return static_cast<int>(n - i < kLanes ? n - i : kLanes);
}
VEC_FN Vec load_tail(const float* p, int64_t i, int64_t n) {
  return n - i >= kLanes ? load(p + i) : load_n(p + i, lanes_left(i, n));
}
VEC_FN void store_tail(float* p, int64_t i, int64_t n, Vec v) {
  if (n - i >= kLanes) {
    store(p + i, v);
  } else {
    store_n(p + i, v, lanes_left(i, n));
  }
}

VEC_FN Vec sigmoid(Vec x) { return div(set1(1), add(set1(1), exp(sub(set1(0), x)))); }
VEC_FN Vec silu(Vec x) { return div(x, add(set1(1), exp(sub(set1(0), x)))); }

VEC_FN float sum_of_squares(const float* x, int64_t n) {
  Vec a = set1(0), b = set1(0), c = set1(0), d = set1(0);
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const Vec v0 = load(x + i), v1 = load(x + i + kLanes), v2 = load(x + i + 2 * kLanes),
              v3 = load(x + i + 3 * kLanes);
    a = fma(v0, v0, a), b = fma(v1, v1, b), c = fma(v2, v2, c), d = fma(v3, v3, d);
  }
  for (; i < n; i += kLanes) {
    const Vec v = load_tail(x, i, n);
    a = fma(v, v, a);
  }
  return sum(add(add(a, b), add(c, d)));
}

// 1 / √x to the last bit or two, from correctly rounded operations.
VEC_FN float reciprocal_root(float x) { return 1.0f / __builtin_sqrtf(x); }

void rms_norm_row(const float* x, const float* weight, float eps, int64_t n, float* out) {
  const Vec scale = set1(reciprocal_root(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  FOR_VECTORS(i, n)
  store_tail(out, i, n, mul(mul(load_tail(x, i, n), scale), load_tail(weight, i, n)));
}

void layer_norm_row(const float* x, const float* weight, const float* bias, float eps, int64_t n,
                    float* out) {
  Vec total = set1(0);
  FOR_VECTORS(i, n) total = add(total, load_tail(x, i, n));
  const float mean = sum(total) / static_cast<float>(n);
  Vec squares = set1(0);
  FOR_VECTORS(i, n) {
    const int left = lanes_left(i, n);
    if (left == kLanes) {
      const Vec d = sub(load(x + i), set1(mean));
      squares = fma(d, d, squares);
    } else {
      float rest[kLanes] = {};
      for (int j = 0; j < left; ++j) rest[j] = x[i + j] - mean;
      squares = fma(load(rest), load(rest), squares);
    }
  }
  const Vec scale = set1(reciprocal_root(sum(squares) / static_cast<float>(n) + eps));
  FOR_VECTORS(i, n) {
    const Vec normed = mul(sub(load_tail(x, i, n), set1(mean)), scale);
    store_tail(out, i, n, fma(normed, load_tail(weight, i, n), load_tail(bias, i, n)));
  }
}

void add_row(const float* x, int64_t n, float* out) {
  FOR_VECTORS(i, n) store_tail(out, i, n, add(load_tail(out, i, n), load_tail(x, i, n)));
}

void add_scaled_row(const float* x, float scale, int64_t n, float* out) {
  FOR_VECTORS(i, n)
  store_tail(out, i, n, fma(load_tail(x, i, n), set1(scale), load_tail(out, i, n)));
}

void scale_row(const float* x, float scale, int64_t n, float* out) {
  FOR_VECTORS(i, n) store_tail(out, i, n, mul(load_tail(x, i, n), set1(scale)));
}

void silu_mul_row(const float* gate, const float* up, int64_t n, float* out) {
  FOR_VECTORS(i, n) store_tail(out, i, n, mul(silu(load_tail(gate, i, n)), load_tail(up, i, n)));
}

void sigmoid_mul_row(const float* gate, int64_t n, float* out) {
  FOR_VECTORS(i, n)
  store_tail(out, i, n, mul(load_tail(out, i, n), sigmoid(load_tail(gate, i, n))));
}

// ½x(1 + tanh(√(2/π)(x + 0.044715x³))) = x · sigmoid(2√(2/π)(x + 0.044715x³)): exact for the
// negative side too.
void gelu_tanh_row(float* x, int64_t n) {
  FOR_VECTORS(i, n) {
    const Vec v = load_tail(x, i, n);
    const Vec inner =
        mul(v, fma(mul(v, v), set1(1.5957691216057308f * 0.044715f), set1(1.5957691216057308f)));
    store_tail(x, i, n, mul(v, sigmoid(inner)));
  }
}

void gelu_erf_row(float* x, int64_t n) {
  FOR_VECTORS(i, n) {
    const Vec v = load_tail(x, i, n), half = mul(v, set1(0.5f));
    store_tail(x, i, n, fma(half, erf(mul(v, set1(0.70710678118654752f))), half));
  }
}

// One head: pairs (j, j + half) turned by the angle whose cosine and sine are given.
void rope_row(float* x, int64_t half, const float* cos, const float* sin) {
  FOR_VECTORS(i, half) {
    const Vec a = load_tail(x, i, half), b = load_tail(x + half, i, half);
    const Vec c = load_tail(cos, i, half), s = load_tail(sin, i, half);
    store_tail(x, i, half, sub(mul(a, c), mul(b, s)));
    store_tail(x + half, i, half, add(mul(b, c), mul(a, s)));
  }
}

// weight · x / rms(x) · silu(z)
void gated_rms_norm_row(const float* x, const float* z, const float* weight, float eps, int64_t n,
                        float* out) {
  const Vec scale = set1(reciprocal_root(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  FOR_VECTORS(i, n) {
    const Vec normed = mul(load_tail(weight, i, n), mul(load_tail(x, i, n), scale));
    store_tail(out, i, n, mul(normed, silu(load_tail(z, i, n))));
  }
}

// out = x · scale / √(Σx² + eps)
void l2_norm_row(const float* x, float eps, float scale, int64_t n, float* out) {
  const Vec factor = set1(reciprocal_root(sum_of_squares(x, n) + eps)), further = set1(scale);
  FOR_VECTORS(i, n) store_tail(out, i, n, mul(mul(load_tail(x, i, n), factor), further));
}

// out = exp(x)
void exp_row(const float* x, int64_t n, float* out) {
  FOR_VECTORS(i, n) store_tail(out, i, n, exp(load_tail(x, i, n)));
}

// Causal convolution of four taps and SiLU over `rows` rows of a slice of channels (strides: of the
// whole rows). Row t of the input followed backwards leads into state [3, channels], which moves on
// to the last three rows of (state, x). Channels go in blocks whose four rows and taps stay in the
// first-level cache; out must not overlap x.
void conv_silu_rows(const float* x, int64_t x_stride, int64_t rows, const float* weight,
                    float* state, int64_t state_stride, int64_t channels, float* out,
                    int64_t out_stride) {
  constexpr int64_t kBlock = 512;
  float taps[4][kBlock];
  for (int64_t first = 0; first < channels; first += kBlock) {
    const int64_t n = channels - first < kBlock ? channels - first : kBlock;
    FOR_VECTORS(c, n) {
      Vec tap[4];
      if (lanes_left(c, n) == kLanes) {
        load_columns(weight + 4 * (first + c), 4, tap);
      } else {
        float rest[4 * kLanes] = {};
        for (int64_t j = 0; j < 4 * (n - c); ++j) rest[j] = weight[4 * (first + c) + j];
        load_columns(rest, 4, tap);
      }
      for (int j = 0; j < 4; ++j) store(taps[j] + c, tap[j]);
    }
    const auto row = [&](int64_t t) {  // t ≥ −3
      return (t < 0 ? state + (t + 3) * state_stride : x + t * x_stride) + first;
    };
    for (int64_t t = 0; t < rows; ++t) {
      const float *a = row(t - 3), *b = row(t - 2), *d = row(t - 1), *e = row(t);
      float* target = out + t * out_stride + first;
      FOR_VECTORS(c, n) {
        Vec value = mul(load_tail(a, c, n), load(taps[0] + c));
        value = fma(load_tail(b, c, n), load(taps[1] + c), value);
        value = fma(load_tail(d, c, n), load(taps[2] + c), value);
        value = fma(load_tail(e, c, n), load(taps[3] + c), value);
        store_tail(target, c, n, silu(value));
      }
    }
    for (int64_t r = -3; r < 0; ++r) {
      FOR_VECTORS(c, n)
      store_tail(state + (r + 3) * state_stride + first, c, n, load_tail(row(rows + r), c, n));
    }
  }
}
