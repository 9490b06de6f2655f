// Classes of CANN's namespace ge that must keep their state, or MindSpore's plugin for Ascend ends the process while it loads.
// Declared as the plugin's symbols name them; only the size of an object and its strings matter.

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ge {

enum Format : int {};
enum DataType : int {};

class StatusFactory {
 public:
  static StatusFactory *Instance();

 private:
  std::map<uint32_t, std::string> descriptions_;
  char rest_[256] = {};
};
StatusFactory *StatusFactory::Instance() {
  static StatusFactory *factory = new StatusFactory();
  return factory;
}

class AscendString {
 public:
  AscendString(const char *text);
  const char *GetString() const;

 private:
  std::shared_ptr<std::string> text_;
};
AscendString::AscendString(const char *text) : text_(text ? new std::string(text) : nullptr) {}
const char *AscendString::GetString() const { return text_ ? text_->c_str() : ""; }

class Operator {
 public:
  Operator() {}
  explicit Operator(const std::string &);
  Operator(const std::string &, const std::string &);
  Operator(const AscendString &, const AscendString &);
  virtual ~Operator();
  std::string GetName() const;
  std::string GetOpType() const;

 private:
  std::shared_ptr<void> parts_[2];
};
Operator::Operator(const std::string &) {}
Operator::Operator(const std::string &, const std::string &) {}
Operator::Operator(const AscendString &, const AscendString &) {}
Operator::~Operator() {}
std::string Operator::GetName() const { return ""; }
std::string Operator::GetOpType() const { return ""; }

class Shape {
 public:
  Shape();
  explicit Shape(const std::vector<int64_t> &);
  std::vector<int64_t> GetDims() const;

 private:
  std::shared_ptr<void> part_;
};
Shape::Shape() {}
Shape::Shape(const std::vector<int64_t> &) {}
std::vector<int64_t> Shape::GetDims() const { return {}; }

class TensorDesc {
 public:
  TensorDesc();
  TensorDesc(Shape, Format, DataType);
  TensorDesc(const TensorDesc &);
  TensorDesc(TensorDesc &&);
  Shape GetShape() const;

 private:
  std::shared_ptr<void> parts_[2];
};
TensorDesc::TensorDesc() {}
TensorDesc::TensorDesc(Shape, Format, DataType) {}
TensorDesc::TensorDesc(const TensorDesc &) {}
TensorDesc::TensorDesc(TensorDesc &&) {}
Shape TensorDesc::GetShape() const { return Shape(); }

class Tensor {
 public:
  Tensor();
  explicit Tensor(const TensorDesc &);
  Tensor(const TensorDesc &, const uint8_t *, size_t);
  TensorDesc GetTensorDesc() const;

 private:
  std::shared_ptr<void> parts_[2];
};
Tensor::Tensor() {}
Tensor::Tensor(const TensorDesc &) {}
Tensor::Tensor(const TensorDesc &, const uint8_t *, size_t) {}
TensorDesc Tensor::GetTensorDesc() const { return TensorDesc(); }

class OperatorFactory {
 public:
  static Operator CreateOperator(const char *, const char *);
  static Operator CreateOperator(const std::string &, const std::string &);
};
Operator OperatorFactory::CreateOperator(const char *, const char *) { return Operator(); }
Operator OperatorFactory::CreateOperator(const std::string &, const std::string &) { return Operator(); }

}  // namespace ge

// CANN's version as acl/acl_rt.h lays it out; graph fusion (O1) reads the number of the major version.
struct aclCANNPackageVersion {
  char version[128], major[64], minor[64], release[64], patch[64], reserved[128];
};
extern "C" int aclsysGetCANNVersion(int, aclCANNPackageVersion *found) {
  std::snprintf(found->version, sizeof(found->version), "8.3.0");
  std::snprintf(found->major, sizeof(found->major), "8");
  std::snprintf(found->minor, sizeof(found->minor), "3");
  std::snprintf(found->release, sizeof(found->release), "0");
  return 0;
}
