"""The office with one page more, which does nothing: what a request costs before its view."""

from django.conf import settings
from django.http import JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from lms.wsgi import application

__all__ = ["application"]


@csrf_exempt
def bare(request) -> JsonResponse:
    request.read()
    return JsonResponse({"ResultCode": 0, "ResultDesc": "Success"})


urlpatterns = [path("bare/", bare), path("", include("lms.urls"))]
settings.ROOT_URLCONF = __name__
