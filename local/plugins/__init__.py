"""Stand-ins for Pulumi plugins that can't be downloaded here, each speaking Pulumi's own gRPC protocol."""
