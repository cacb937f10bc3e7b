// exp and erf over the vectors of vec_<isa>.h (the scalar set uses the library's). Polynomials were
// fitted here by Chebyshev interpolation; errors are of f32 rounding (at most 2 units in the last
// place for exp).

// e^x = 2^n · e^r with n = round(x / ln 2), |r| ≤ ½ ln 2. Overflows to infinity, underflows to
// zero, keeps NaN.
VEC_FN Vec exp(Vec x) {
  x = min(set1(89.0f), max(set1(-104.0f), x));
  const Vec n = round(mul(x, set1(1.44269504f)));
  const Vec r = fma(n, set1(2.12194440e-4f), fma(n, set1(-0.693359375f), x));
  Vec p = set1(0.00139269269f);
  p = fma(p, r, set1(0.00836377387f));
  p = fma(p, r, set1(0.0416665501f));
  p = fma(p, r, set1(0.166665734f));
  p = fma(p, r, set1(0.5f));
  return scale_by_power(add(fma(mul(r, r), p, r), set1(1)), n);
}

// Below 1: x · P(x²). Above: 1 − exp(−Q(|x|)), where Q fits −ln erfc; from 4 on that is 1.
VEC_FN Vec erf(Vec x) {
  const Vec magnitude = abs(x), square = mul(x, x);
  Vec p = set1(7.87587506e-5f);
  p = fma(p, square, set1(-0.000801686429f));
  p = fma(p, square, set1(0.00518908742f));
  p = fma(p, square, set1(-0.026854212f));
  p = fma(p, square, set1(0.112835947f));
  p = fma(p, square, set1(-0.376126267f));
  p = mul(x, fma(p, square, set1(1.12837917f)));
  const Vec m = min(set1(4), magnitude);
  Vec q = set1(-1.63715141e-6f);
  q = fma(q, m, set1(4.60580427e-5f));
  q = fma(q, m, set1(-0.000596805626f));
  q = fma(q, m, set1(0.00475959629f));
  q = fma(q, m, set1(-0.026421136f));
  q = fma(q, m, set1(0.110080083f));
  q = fma(q, m, set1(0.631826052f));
  q = fma(q, m, set1(1.13023343f));
  q = fma(q, m, set1(-0.000320138050f));
  return if_below(magnitude, set1(1), p, with_sign_of(sub(set1(1), exp(sub(set1(0), q))), x));
}
