using System.Text.Json;

namespace Gateway.Discovery.EmbeddedCatalog;

// The catalog's half: what watchers read, with blocking queries.
internal sealed partial class EmbeddedCatalogApi
{
    private static void Datacenters(Utf8JsonWriter json)
    {
        json.WriteStartArray();
        json.WriteStringValue(NodeRecord.Datacenter);
        json.WriteEndArray();
    }

    private async Task CatalogNodes(CatalogRequest request)
    {
        Topic topic = new(TopicKind.Node);
        if (await Block(request, topic))
        {
            NodeRecord node = Take(request, topic, state => state.Node);
            await request.Json(json =>
            {
                json.WriteStartArray();
                CatalogJson.Node(json, node);
                json.WriteEndArray();
            });
        }
    }

    private async Task CatalogNode(CatalogRequest request, string name)
    {
        Topic topic = new(TopicKind.Services);
        if (!await Block(request, topic))
        {
            return;
        }

        (NodeRecord node, ServiceRecord[] services) = Take(request, topic, state => (state.Node, state.Services.ToArray()));
        await request.Json(json =>
        {
            if (name != node.Name)
            {
                json.WriteNullValue();
                return;
            }

            json.WriteStartObject();
            json.WritePropertyName("Node");
            CatalogJson.Node(json, node);
            json.WriteStartObject("Services");
            foreach (ServiceRecord service in services.OrderBy(s => s.Id, StringComparer.Ordinal))
            {
                json.WritePropertyName(service.Id);
                CatalogJson.HealthService(json, service);
            }

            json.WriteEndObject();
            json.WriteEndObject();
        });
    }

    /// <summary>Names with the union of their instances' tags. Consul ignores a filter here, so do we.</summary>
    private async Task CatalogServices(CatalogRequest request)
    {
        Topic topic = new(TopicKind.Services);
        if (!await Block(request, topic))
        {
            return;
        }

        ServiceRecord[] services = Take(request, topic, state => state.Services.ToArray());
        await request.Json(json =>
        {
            json.WriteStartObject();
            foreach (IGrouping<string, ServiceRecord> service in services.GroupBy(s => s.Name, StringComparer.Ordinal))
            {
                json.WriteStartArray(service.Key);
                foreach (string tag in service.SelectMany(s => s.Tags).Distinct(StringComparer.Ordinal))
                {
                    json.WriteStringValue(tag);
                }

                json.WriteEndArray();
            }

            json.WriteEndObject();
        });
    }

    private async Task CatalogService(CatalogRequest request, string name)
    {
        if (Missing(name, "Missing service name") is { } missing)
        {
            await request.Text(400, missing);
            return;
        }

        (bool go, FilterExpression? filter) = await Filter(request, FilterSelectors.OfCatalogService);
        Topic topic = new(TopicKind.Definition, name);
        if (!go || !await Block(request, topic))
        {
            return;
        }

        (NodeRecord node, ServiceRecord[] services) = Take(
            request, topic, state => (state.Node, state.Instances(name).ToArray()));
        await request.Json(json =>
        {
            json.WriteStartArray();
            foreach (ServiceRecord service in services)
            {
                if (HasTags(request, service) && IsHere(request, node)
                    && filter?.Matches(selector => FilterSelectors.SelectCatalog(selector, service, node)) != false)
                {
                    CatalogJson.CatalogService(json, service, node);
                }
            }

            json.WriteEndArray();
        });
    }

    private async Task HealthService(CatalogRequest request, string name)
    {
        if (Missing(name, "Missing service name") is { } missing)
        {
            await request.Text(400, missing);
            return;
        }

        // Consul: ?passing alone is true.
        bool passing = false;
        if (request.Has("passing"))
        {
            switch (request.Query("passing"))
            {
                case "" or "1" or "t" or "T" or "true" or "TRUE" or "True":
                    passing = true;
                    break;
                case "0" or "f" or "F" or "false" or "FALSE" or "False":
                    break;
                default:
                    await request.Text(
                        400, $"Invalid value for ?passing: '{request.Query("passing")}'; allowed are true and false");
                    return;
            }
        }

        (bool go, FilterExpression? filter) = await Filter(request, FilterSelectors.OfHealth);
        Topic topic = new(TopicKind.Health, name);
        if (!go || !await Block(request, topic))
        {
            return;
        }

        (NodeRecord node, CheckRecord[] nodeChecks, (ServiceRecord Service, CheckRecord[] Checks)[] instances) = Take(
            request,
            topic,
            state => (
                state.Node,
                NodeChecks(state),
                state.Instances(name).Select(s => (s, state.ChecksOf(s.Id).ToArray())).ToArray()));
        await request.Json(json =>
        {
            json.WriteStartArray();
            foreach ((ServiceRecord service, CheckRecord[] own) in instances)
            {
                HealthRecord health = new(service, [.. nodeChecks, .. own]);
                if (HasTags(request, service) && IsHere(request, node)
                    && (!passing || Array.TrueForAll(health.Checks, c => c.Status == CheckStatus.Passing))
                    && filter?.Matches(selector => FilterSelectors.Select(selector, health, node)) != false)
                {
                    CatalogJson.Health(json, health, node);
                }
            }

            json.WriteEndArray();
        });
    }

    private Task HealthChecks(CatalogRequest request, string name) =>
        Missing(name, "Missing service name") is { } missing
            ? request.Text(400, missing)
            : Checks(
                request,
                new Topic(TopicKind.Checks, name),
                state => state.Instances(name).SelectMany(s => state.ChecksOf(s.Id)));

    private Task HealthState(CatalogRequest request, string status) =>
        Missing(status, "Missing check state") is { } missing
            ? request.Text(400, missing)
            : Checks(
                request,
                new Topic(TopicKind.State),
                state => NodeChecks(state)
                    .Concat(state.Checks.Where(c => c.Definition.ServiceId.Length > 0))
                    .Where(c => status == "any" || CatalogJson.Text(c.Status) == status));

    private Task HealthNode(CatalogRequest request, string name) =>
        Missing(name, "Missing node name") is { } missing
            ? request.Text(400, missing)
            : Checks(
                request,
                new Topic(TopicKind.State),
                state => name != state.Node.Name ? []
                    : NodeChecks(state).Concat(state.Checks.Where(c => c.Definition.ServiceId.Length > 0)));

    private async Task Checks(CatalogRequest request, Topic topic, Func<EmbeddedCatalogState, IEnumerable<CheckRecord>> read)
    {
        (bool go, FilterExpression? filter) = await Filter(request, FilterSelectors.OfCheck);
        if (!go || !await Block(request, topic))
        {
            return;
        }

        (NodeRecord node, (CheckRecord Check, ServiceRecord? Service)[] checks) = Take(
            request,
            topic,
            state => (state.Node, read(state).Select(c => (c, state.FindService(c.Definition.ServiceId))).ToArray()));
        await request.Json(json =>
        {
            json.WriteStartArray();
            foreach ((CheckRecord check, ServiceRecord? service) in checks)
            {
                if (IsHere(request, node)
                    && filter?.Matches(selector => FilterSelectors.Select(selector, check, service, node)) != false)
                {
                    CatalogJson.Check(json, check, service, node);
                }
            }

            json.WriteEndArray();
        });
    }

    /// <summary>serfHealth first, then the others by id, as Consul sorts them.</summary>
    private static CheckRecord[] NodeChecks(EmbeddedCatalogState state) =>
        [.. state.ChecksOf("").Append(CatalogJson.SerfHealth(state.Node)).OrderBy(c => c.Definition.Id, StringComparer.Ordinal)];

    /// <summary>Every <c>tag=</c> must be there, compared without case.</summary>
    private static bool HasTags(CatalogRequest request, ServiceRecord service)
    {
        foreach (string? tag in request.QueryAll("tag"))
        {
            if (!string.IsNullOrEmpty(tag) && !service.Tags.Contains(tag, StringComparer.OrdinalIgnoreCase))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Our node has Consul's one entry of node meta and no other.</summary>
    private static bool IsHere(CatalogRequest request, NodeRecord node) =>
        node.Id.Length > 0 && request.QueryAll("node-meta").All(m => m is null or "" or "consul-network-segment:");
}
