// The modules whose kustomize folders make Flux's install manifest (local/toolchain/manifest.py).
// Nothing here is compiled: these are the versions that flux2's own manifests/bases name.
module saas-in-eks.local/tools/manifests

go 1.26.0

require (
	github.com/fluxcd/flux2/v2 v2.9.2
	github.com/fluxcd/helm-controller v1.6.2
	github.com/fluxcd/image-automation-controller v1.2.3
	github.com/fluxcd/image-reflector-controller v1.2.3
	github.com/fluxcd/kustomize-controller v1.9.3
	github.com/fluxcd/notification-controller v1.9.2
	github.com/fluxcd/source-controller v1.9.3
)
