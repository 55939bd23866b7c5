using System.Text.Json;

namespace Gateway.Discovery.EmbeddedCatalog;

// The agent's half: what registrators write and read back.
internal sealed partial class EmbeddedCatalogApi
{
    private const int RegistrationBytesMax = 512 * 1024;

    /// <summary>The version whose API this is; clients look at it to learn what they may ask.</summary>
    private const string ConsulVersion = "1.8.7";

    private Task AgentSelf(CatalogRequest request)
    {
        (NodeRecord node, int services, int checks, ulong index) = _store.Read(
            state => (state.Node, state.Services.Count(), state.Checks.Count(), state.Index));
        return request.Json(json =>
        {
            json.WriteStartObject();
            json.WriteStartObject("Config");
            json.WriteString("Datacenter", NodeRecord.Datacenter);
            json.WriteString("NodeName", node.Name);
            json.WriteString("NodeID", node.Id);
            json.WriteString("Revision", "");
            json.WriteBoolean("Server", true);
            json.WriteString("Version", ConsulVersion);

            // marathon-registrator compares this with its tasks' hosts; Consul itself has had it elsewhere since 1.0.
            json.WriteString("AdvertiseAddr", node.Address);

            // Tells our own `run` that this is no foreign Consul agent (SPEC §3).
            json.WriteBoolean("Gateway", true);
            json.WriteEndObject();
            json.WriteStartObject("DebugConfig");
            json.WriteString("AdvertiseAddrLAN", node.Address);
            json.WriteEndObject();
            json.WritePropertyName("Member");
            Member(json, node);
            json.WriteStartObject("Stats");
            json.WriteStartObject("agent");
            json.WriteString("checks", $"{checks}");
            json.WriteString("services", $"{services}");
            json.WriteEndObject();
            json.WriteStartObject("consul");
            json.WriteString("leader", "true");
            json.WriteString("server", "true");
            json.WriteEndObject();
            json.WriteStartObject("raft");
            json.WriteString("applied_index", $"{index}");
            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteStartObject("Meta");
            json.WriteString("consul-network-segment", "");
            json.WriteEndObject();
            json.WriteEndObject();
        });
    }

    private Task AgentMembers(CatalogRequest request)
    {
        NodeRecord node = _store.Read(state => state.Node);
        return request.Json(json =>
        {
            json.WriteStartArray();
            Member(json, node);
            json.WriteEndArray();
        });
    }

    private static void Member(Utf8JsonWriter json, NodeRecord node)
    {
        json.WriteStartObject();
        json.WriteString("Name", node.Name);
        json.WriteString("Addr", node.Address);
        json.WriteNumber("Port", 8301);
        json.WriteStartObject("Tags");
        json.WriteString("build", $"{ConsulVersion}:");
        json.WriteString("dc", NodeRecord.Datacenter);
        json.WriteString("id", node.Id);
        json.WriteString("role", "consul");
        json.WriteString("segment", "");
        json.WriteString("vsn", "2");
        json.WriteEndObject();
        json.WriteNumber("Status", 1);
        foreach ((string name, int version) in (ReadOnlySpan<(string, int)>)[
            ("ProtocolMin", 1), ("ProtocolMax", 5), ("ProtocolCur", 2),
            ("DelegateMin", 2), ("DelegateMax", 5), ("DelegateCur", 4)])
        {
            json.WriteNumber(name, version);
        }

        json.WriteEndObject();
    }

    private async Task AgentServices(CatalogRequest request)
    {
        (bool go, FilterExpression? filter) = await Filter(request, FilterSelectors.OfService, catalog: false);
        if (!go)
        {
            return;
        }

        ServiceRecord[] services = _store.Read(state => state.Services.ToArray());
        await request.Json(json =>
        {
            json.WriteStartObject();
            foreach (ServiceRecord service in services.OrderBy(s => s.Id, StringComparer.Ordinal))
            {
                if (filter?.Matches(selector => FilterSelectors.Select(selector, service)) != false)
                {
                    json.WritePropertyName(service.Id);
                    CatalogJson.AgentService(json, service);
                }
            }

            json.WriteEndObject();
        });
    }

    private Task AgentService(CatalogRequest request, string id)
    {
        if (Missing(id, "Missing service ID") is { } missing)
        {
            return request.Text(400, missing);
        }

        ServiceRecord? service = _store.Read(state => state.FindService(id));
        if (service is null)
        {
            return request.Text(404, $"unknown service ID: {id}");
        }

        string hash = Hash((service with { CreateIndex = 0, ModifyIndex = 0 }).ToString()
            + string.Join('\0', service.Tags) + string.Join('\0', service.Meta) + string.Join('\0', service.TaggedAddresses));
        request.Header("X-Consul-ContentHash", hash);
        return request.Json(json => CatalogJson.AgentService(json, service, hash));
    }

    private Task AgentChecks(CatalogRequest request)
    {
        (NodeRecord node, (CheckRecord Check, ServiceRecord? Service)[] checks) = _store.Read(state => (
            state.Node,
            state.Checks.Select(c => (c, state.FindService(c.Definition.ServiceId))).ToArray()));
        return FilteredChecks(request, node, checks);
    }

    private static async Task FilteredChecks(
        CatalogRequest request, NodeRecord node, (CheckRecord Check, ServiceRecord? Service)[] checks)
    {
        (bool go, FilterExpression? filter) = await Filter(request, FilterSelectors.OfCheck, catalog: false);
        if (!go)
        {
            return;
        }

        await request.Json(json =>
        {
            json.WriteStartObject();
            foreach ((CheckRecord check, ServiceRecord? service) in checks)
            {
                if (filter?.Matches(selector => FilterSelectors.Select(selector, check, service, node)) != false)
                {
                    json.WritePropertyName(check.Definition.Id);
                    CatalogJson.Check(json, check, service, node, agent: true);
                }
            }

            json.WriteEndObject();
        });
    }

    private async Task RegisterService(CatalogRequest request)
    {
        if (await request.Body(RegistrationBytesMax, "A registration is smaller.") is not { } body)
        {
            return;
        }

        (ServiceRegistration? registration, Refusal? refusal) = RegistrationDecoder.Service(body);
        if (refusal is not null)
        {
            await request.Refuse(refusal);
            return;
        }

        bool replace = request.Query("replace-existing-checks") is "true" or "1" or "t" or "T" or "TRUE" or "True";
        _store.Register(registration!, replace);
        await Acknowledge(request);
    }

    private async Task DeregisterService(CatalogRequest request, string id)
    {
        if (Missing(id, "ServiceID missing") is { } missing)
        {
            await request.Text(500, missing);
            return;
        }

        // Consul 1.8: an unknown id is no error, so that a registrator may repeat itself.
        _store.Deregister(id);
        await Acknowledge(request);
    }

    private async Task ServiceMaintenance(CatalogRequest request, string id)
    {
        if (Missing(id, "Missing service ID") is { } missing)
        {
            await request.Text(400, missing);
        }
        else if (await Enable(request) is not { } enable)
        {
            return;
        }
        else if (_store.SetMaintenance(id, enable, request.Query("reason")) == WriteResult.Unknown)
        {
            await request.Text(404, $"No service registered with ID \"{id}\"");
        }
        else
        {
            await Acknowledge(request);
        }
    }

    private async Task NodeMaintenance(CatalogRequest request)
    {
        if (await Enable(request) is { } enable)
        {
            _store.SetMaintenance("", enable, request.Query("reason"));
            await Acknowledge(request);
        }
    }

    private static async Task<bool?> Enable(CatalogRequest request)
    {
        string text = request.Query("enable");
        switch (text)
        {
            case "1" or "t" or "T" or "true" or "TRUE" or "True":
                return true;
            case "0" or "f" or "F" or "false" or "FALSE" or "False":
                return false;
            default:
                await request.Text(400, request.Has("enable")
                    ? $"Invalid value for enable: \"{text}\"; allowed are true and false"
                    : "Missing value for enable: query parameter 'enable'; allowed are true and false");
                return null;
        }
    }

    private async Task RegisterCheck(CatalogRequest request)
    {
        if (await request.Body(RegistrationBytesMax, "A registration is smaller.") is not { } body)
        {
            return;
        }

        (CheckRegistration? check, Refusal? refusal) = RegistrationDecoder.Check(body);
        if (refusal is not null)
        {
            await request.Refuse(refusal);
        }
        else if (_store.RegisterCheck(check!) == WriteResult.Unknown)
        {
            await request.Text(500, $"ServiceID \"{check!.Definition.ServiceId}\" does not exist");
        }
        else
        {
            await Acknowledge(request);
        }
    }

    private async Task DeregisterCheck(CatalogRequest request, string id)
    {
        if (Missing(id, "CheckID missing") is { } missing)
        {
            await request.Text(500, missing);
            return;
        }

        _store.DeregisterCheck(id);
        await Acknowledge(request);
    }

    private Task Heard(CatalogRequest request, string id, CheckStatus status) =>
        Heard(request, id, status, request.Query("note"));

    /// <summary>Not flushed before it is acknowledged: the next heartbeat says it again, and kill -9 does not lose it.</summary>
    private Task Heard(CatalogRequest request, string id, CheckStatus status, string output) =>
        _store.Heard(id, status, output) == WriteResult.Unknown
            ? request.Text(500, $"CheckID \"{id}\" does not have associated TTL")
            : request.Nothing();

    private async Task UpdateCheck(CatalogRequest request, string id)
    {
        if (await request.Body(RegistrationBytesMax, "An update is smaller.") is not { } body)
        {
            return;
        }

        (CheckStatus status, string output, Refusal? refusal) = RegistrationDecoder.Update(body);

        // Consul's CheckOutputMaxSize.
        const int outputMax = 4096;
        string shown = output.Length <= outputMax
            ? output
            : $"{output[..outputMax]} ... (captured {outputMax} of {output.Length} bytes)";
        await (refusal is null ? Heard(request, id, status, shown) : request.Refuse(refusal));
    }

    /// <summary>Nothing is acknowledged before it is on disk.</summary>
    private async Task Acknowledge(CatalogRequest request)
    {
        await _store.CommitAsync();
        await request.Nothing();
    }
}
