// torch.autocast("hpu"): casts by operator name, as the bridge does. Without caches of casts, as there.
#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "tape.h"

namespace emulated {

using Names = std::set<std::string>;

// The lists are the bridge's (hpu_ops/autocast_helpers.h, v1.19.0).
inline const Names kLower{
    "addmm", "addbmm", "batch_norm", "baddbmm", "bmm", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "dot", "dropout", "feature_dropout", "group_norm", "instance_norm",
    "layer_norm", "leaky_relu", "linear", "matmul", "mean", "mm", "mul", "mv", "softmax", "log_softmax",
    "scaled_dot_product_attention"};
inline const Names kFloat32{
    "acos", "addcdiv", "asin", "atan2", "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cdist",
    "cosh", "cosine_embedding_loss", "cosine_similarity", "cross_entropy_loss", "dist", "div", "divide", "embedding",
    "embedding_bag", "erfinv", "exp", "expm1", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "log",
    "log10", "log1p", "log2", "logsumexp", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
    "multilabel_margin_loss", "nll_loss", "pdist", "poisson_nll_loss", "pow", "reciprocal", "renorm", "rsqrt", "sinh",
    "smooth_l1_loss", "soft_margin_loss", "softplus", "tan", "topk", "triplet_margin_loss", "truediv", "true_divide"};
inline const Names kLowerFirst{"layer_norm", "group_norm", "instance_norm", "batch_norm"};  // the first argument only
inline const Names kPromote{"add", "addcmul", "addcdiv", "cat", "div", "exp", "mul", "pow", "sub", "iadd", "truediv",
                            "stack"};

// A file with an operator's name in each line takes the place of a list.
inline Names list_of(const char* variable, const Names& otherwise) {
  const char* path = std::getenv(variable);
  std::ifstream file(path ? path : "");
  if (!path || !file.is_open()) return otherwise;
  Names names;
  for (std::string line; std::getline(file, line);) names.insert(line);
  return names;
}

enum class Policy { kLower, kLowerFirst, kFloat32, kPromote };

inline bool castable(const at::Tensor& t) {
  return t.defined() && t.device().type() == kHPU && t.is_floating_point() && t.scalar_type() != at::kDouble;
}
template <typename Function>
void for_each_tensor(IValue& value, Function&& function) {  // replaces each tensor by what the function returns
  if (value.isTensor()) {
    value = function(value.toTensor());
  } else if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& t : value.toTensorVector()) list.push_back(function(t));
    value = std::move(list);
  }
}

template <Policy policy>
void autocast(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastHPU);
  const auto lower = at::autocast::get_autocast_dtype(c10::DeviceType::HPU);
  const size_t count = op.schema().arguments().size(), base = stack->size() - count;
  auto type = policy == Policy::kFloat32 ? at::kFloat : lower;
  if (policy == Policy::kPromote)
    for (size_t i = 0; i < count; i++)
      for_each_tensor((*stack)[base + i], [&](const at::Tensor& t) {
        if (castable(t)) type = at::autocast::prioritize(type, t, c10::DeviceType::HPU);
        return t;
      });
  for (size_t i = 0; i < (policy == Policy::kLowerFirst ? 1 : count); i++)
    for_each_tensor((*stack)[base + i],
                    [&](const at::Tensor& t) { return castable(t) && t.scalar_type() != type ? t.to(type) : t; });
  op.callBoxed(stack);
}

// For every functional overload of the operators on the lists.
inline void register_autocast(torch::Library& m) {
  const Names lower = list_of("PT_HPU_AUTOCAST_LOWER_PRECISION_OPS_LIST", kLower);
  const Names float32 = list_of("PT_HPU_AUTOCAST_FP32_OPS_LIST", kFloat32);
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const c10::OperatorName& name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    const std::string base = name.name.substr(6);
    const auto op = dispatcher.findSchema(name);
    if (!op || op->schema().is_mutable()) continue;
    const std::string full = name.overload_name.empty() ? base : base + "." + name.overload_name;
    auto use = [&](auto kernel) { m.impl(full.c_str(), std::move(kernel)); };
    using torch::CppFunction;
    if (lower.count(base)) {
      if (kLowerFirst.count(base)) use(CppFunction::makeFromBoxedFunction<&autocast<Policy::kLowerFirst>>());
      else use(CppFunction::makeFromBoxedFunction<&autocast<Policy::kLower>>());
    } else if (float32.count(base)) {
      use(CppFunction::makeFromBoxedFunction<&autocast<Policy::kFloat32>>());
    } else if (kPromote.count(base)) {
      use(CppFunction::makeFromBoxedFunction<&autocast<Policy::kPromote>>());
    }
  }
}

}  // namespace emulated
